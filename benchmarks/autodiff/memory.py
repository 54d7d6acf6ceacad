"""Peak memory of a prediction with its input gradient, each contender in a process of its own.

What counts is how far the peak of the resident set rises above what was resident before the first
run, when program and weights were loaded. Loading itself needs more for a while, in either; so the
peak is set back before the run (Linux: `/proc/self/clear_refs`).
"""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.autodiff import contenders as of
from benchmarks.autodiff.networks import NETWORKS, ROW, build, onnx_file
from benchmarks.interleave import Pace, markdown

__all__ = ["main", "peak_over"]

BATCHES = (1, 8)
_RUNS = 3


def main(pace: Pace, out: Path, only: str) -> None:
    """Print the table and store it."""
    del pace  # a peak is no matter of time
    rows = []
    for name in (name for name in NETWORKS if only in name):
        onnx_file(name, build(name))  # exported here, so that no measured process exports
        for batch in BATCHES:
            ours, torchs, forward = (
                _apart(name, batch, who) for who in (of.OURS, of.TORCH, of.FORWARD)
            )
            rows.append([name, batch, f"{forward:.0f}", f"{ours:.0f}", f"{torchs:.0f}",
                         f"{ours / torchs:.2f}"])  # fmt: skip
            print(*rows[-1], sep=" | ", flush=True)
    header = ("network", "batch", "forward, MiB", "candor, MiB", "torch, MiB", "candor / torch")
    table = markdown(header, rows)
    print(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(table + "\n", encoding="utf-8")


def _apart(name: str, batch: int, who: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.autodiff.memory", name, str(batch), who],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def _measure(name: str, batch: int, who: str) -> float:
    """How many MiB the resident set grows by at its peak over a few runs."""
    torch.set_num_threads(1)
    x = np.random.default_rng(0).standard_normal((batch, *ROW), dtype=np.float32)
    before = [0]

    def loaded() -> None:
        before[0] = _settled()

    if who == of.OURS:
        run: Callable[[], object] = of.ours(onnx_file(name), x, loaded)
    elif who == of.TORCH:
        run = of.torchs(build(name, fit=False), x)
        loaded()
    else:
        run = of.forward(onnx_file(name), x)
        loaded()
    for _ in range(_RUNS):
        run()
    return (_resident("VmHWM") - before[0]) / 1024


def peak_over(run: Callable[[], object]) -> float:
    """How many MiB the resident set rises by at its peak while something runs."""
    before = _settled()
    run()
    return (_resident("VmHWM") - before) / 1024


def _settled() -> int:
    """What is resident, in kB; the peak starts anew from there."""
    ctypes.CDLL(None).malloc_trim(0)  # what loading has freed is not there to be used again
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
