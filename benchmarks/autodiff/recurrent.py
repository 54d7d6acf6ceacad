"""Seconds of a prediction with its input gradient, for recurrent layers over many steps."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from benchmarks.autodiff import contenders as of
from benchmarks.interleave import Contest, Pace, interleave, machine, markdown, save

__all__ = ["main"]

_FEATURES, _CLASSES = 32, 10
_BATCHES = (1, 8)


class Reader(nn.Module):
    """A recurrent layer over [n t f], the mean of its outputs, a linear readout."""

    def __init__(self, kind: str, hidden: int, *, bidirectional: bool) -> None:
        super().__init__()
        layer = getattr(nn, kind)
        self.layer = layer(_FEATURES, hidden, batch_first=True, bidirectional=bidirectional)
        self.readout = nn.Linear(hidden * (1 + bidirectional), _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [n k]."""
        return self.readout(self.layer(x)[0].mean(1))


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    bidirectional: bool
    steps: int
    hidden: int
    batch: int

    def __str__(self) -> str:
        both = "bidirectional " if self.bidirectional else ""
        return f"{both}{self.kind}, T = {self.steps}, H = {self.hidden}, batch {self.batch}"


TASKS = [
    _Task(kind, bidirectional, steps, hidden, batch)
    for kind in ("LSTM", "GRU")
    for bidirectional in (False, True)
    for steps, hidden in ((100, 64), (400, 256))
    for batch in _BATCHES
]


def main(pace: Pace, out: Path, only: str) -> None:
    """Print the table and store its samples."""
    contests: dict[str, Contest] = {}
    rows = []
    for task in (task for task in TASKS if only in str(task)):
        contest, refusal = _measure(task, pace)
        contests[str(task)] = contest
        rows.append(_row(task, contest, refusal))
        print(*rows[-1], sep=" | ", flush=True)
    print(markdown(_HEADER, rows))
    save(out, machine("onnxruntime", "torch", "onnx-ad"), contests)


def _measure(task: _Task, pace: Pace) -> tuple[Contest, str | None]:
    torch.manual_seed(0)
    module = Reader(task.kind, task.hidden, bidirectional=task.bidirectional).eval()
    module.requires_grad_(requires_grad=False)
    x = np.random.default_rng(0).standard_normal((task.batch, task.steps, _FEATURES), np.float32)
    file = _exported(module)
    runs = {of.OURS: of.ours(file, x), of.TORCH: of.torchs(module, x)}
    theirs = of.peer(_of_one_length(file, task), x)
    if not isinstance(theirs, str):
        runs[of.PEER] = theirs
    wanted = of.torchs(module.double(), x.astype(np.float64))()[1]
    module.float()
    for who, run in runs.items():
        if (cosine := of.agree(run()[1], wanted)) < 0.999999:
            raise SystemExit(f"{task}: the gradient of {who} has cosine {cosine:.7f} to torch's")
    calls: dict[str, Callable[[], object]] = {of.FORWARD: of.forward(file, x)}
    return interleave(calls | runs, pace), theirs if isinstance(theirs, str) else None


def _exported(module: nn.Module) -> bytes:
    """Any number of rows and steps; the newer exporter fixes the steps of a second layer."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.randn(2, 5, _FEATURES),),
            buffer,
            dynamo=False,
            input_names=["x"],
            output_names=["scores"],
            dynamic_axes={"x": {0: "n", 1: "t"}, "scores": {0: "n"}},
            opset_version=18,
        )
    return buffer.getvalue()


def _of_one_length(file: bytes, task: _Task) -> bytes:
    """Fix the steps too, for a contender that asks for it."""
    model = onnx.load_from_string(file)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = task.steps
    return model.SerializeToString()


_HEADER = (
    "layer", "forward, ms", "candor / forward", "torch / forward", "onnx-ad / forward",
    "candor / torch",
)  # fmt: skip


def _row(task: _Task, contest: Contest, refusal: str | None) -> list[object]:
    def ratio(who: str, to: str) -> object:
        return contest.ratio(who, to) if who in contest.seconds else refusal

    others = (ratio(who, of.FORWARD) for who in (of.OURS, of.TORCH, of.PEER))
    return [task, contest.milliseconds(of.FORWARD), *others, ratio(of.OURS, of.TORCH)]
