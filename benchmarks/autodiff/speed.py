"""Seconds of a prediction with its input gradient, as multiples of ONNX Runtime's forward pass."""

import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.autodiff import contenders as of
from benchmarks.autodiff.networks import CONVOLUTIONAL, NETWORKS, ROW, UNTUNED, build, onnx_file
from benchmarks.interleave import Contest, Pace, interleave, machine, markdown, save
from candor.result import Array

__all__ = ["main"]

BATCHES = (1, 8)


def main(pace: Pace, out: Path, only: str) -> None:
    """Print the table and store its samples."""
    contests: dict[str, Contest] = {}
    rows = []
    for name in (name for name in NETWORKS if only in name):
        for batch in BATCHES:
            contest, refusal = measure(name, batch, pace)
            contests[f"{name}, batch {batch}"] = contest
            rows.append(_row(name, batch, contest, refusal))
            print(*rows[-1], sep=" | ", flush=True)
    print(markdown(_HEADER, rows), _summary(contests), sep="\n\n")
    save(out, machine("onnxruntime", "torch", "onnx-ad"), contests)


def measure(name: str, batch: int, pace: Pace) -> tuple[Contest, str | None]:
    """Time the contenders on one network, after seeing that they find the same gradient."""
    module = build(name)
    file = onnx_file(name, module)
    x = np.random.default_rng(0).standard_normal((batch, *ROW), dtype=np.float32)
    runs = {of.OURS: of.ours(file, x), of.TORCH: of.torchs(module, x)}
    theirs = of.peer(file, x)
    refusal = theirs if isinstance(theirs, str) else None
    if not isinstance(theirs, str):
        runs[of.PEER] = theirs
    _check(name, runs)
    calls: dict[str, Callable[[], object]] = {of.FORWARD: of.forward(file, x)}
    return interleave(calls | runs, pace), refusal


def _check(name: str, runs: dict[str, of.Run]) -> None:
    gradients: dict[str, Array] = {}
    for who, run in runs.items():
        gradients[who] = run()[1]
    wanted = gradients[of.TORCH]
    for who, found in gradients.items():
        if (cosine := of.agree(found, wanted)) < 0.999:
            raise SystemExit(f"{name}: the gradient of {who} has cosine {cosine:.6f} to torch's")


_HEADER = ("network", "batch", "forward, ms", "candor / forward", "torch / forward",
           "onnx-ad / forward", "candor / torch")  # fmt: skip


def _row(name: str, batch: int, contest: Contest, refusal: str | None) -> list[object]:
    def ratio(who: str, to: str) -> object:
        return contest.ratio(who, to) if who in contest.seconds else refusal

    label = f"{name} *" if name in UNTUNED else name
    return [
        label,
        batch,
        contest.milliseconds(of.FORWARD),
        *(ratio(who, of.FORWARD) for who in (of.OURS, of.TORCH, of.PEER)),
        ratio(of.OURS, of.TORCH),
    ]


def _summary(contests: dict[str, Contest]) -> str:
    ratios = {
        label: contest.ratio(of.OURS, of.FORWARD).median
        for label, contest in contests.items()
        if label.split(", ")[0] in CONVOLUTIONAL
    }
    if not ratios:
        return ""
    worst = max(ratios, key=lambda label: ratios[label])
    median = statistics.median(ratios.values())
    return f"Convolutional: median {median:.2f}, worst {ratios[worst]:.2f} ({worst})."
