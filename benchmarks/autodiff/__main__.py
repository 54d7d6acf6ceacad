"""`python -m benchmarks.autodiff [suite ...] [--only NAME] [--seconds S] [--out FILE.json]`."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.autodiff import memory, recurrent, speed
from benchmarks.interleave import Pace

SUITES: dict[str, Callable[[Pace, Path, str], None]] = {
    "speed": speed.main,
    "memory": memory.main,
    "recurrent": recurrent.main,
}


def main() -> None:
    """Run the suites asked for, all of them by default."""
    parser = argparse.ArgumentParser(prog="benchmarks.autodiff")
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seconds", type=float, default=20.0, help="for one row of a table")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for the samples")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.suites or SUITES:
        SUITES[name](Pace(seconds=asked.seconds), asked.out / f"autodiff-{name}.json", asked.only)


if __name__ == "__main__":
    main()
