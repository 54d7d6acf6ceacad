"""`python -m benchmarks.explain [suite ...] [--only NAME] [--rounds N] [--samples N]`.

samples     LIME's samples beside as many bare forward passes
fixed       what an explanation costs beside its samples, the first time and again
package     LIME beside the lime package over the same network in torch
gradients   integrated gradients, SmoothGrad and Grad-CAM beside what they are made of
occlusion   by what windows reach, beside a forward pass for each window
each        every method with its default options, in forward passes of the model
memory      how far the resident set rises, at few samples and at many
adaptive    how many samples LIME takes with a tolerance (CANDOR_DATA: the data sets)
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.explain import adaptive, each, fixed, gradients, memory, occlusion, package, samples
from benchmarks.explain.asked import Asked
from candor.runtime.heap import keep_large_blocks

SUITES: dict[str, Callable[[Asked], None]] = {
    "samples": samples.main,
    "fixed": fixed.main,
    "package": package.main,
    "gradients": gradients.main,
    "each": each.main,
    "memory": memory.main,
    "occlusion": occlusion.main,
    "adaptive": adaptive.main,
}


def main() -> None:
    """Run the suites asked for, all of them by default."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.explain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="explanations timed of each kind (5)")
    parser.add_argument("--samples", type=int, default=1000, help="of LIME (1000)")
    parser.add_argument("--pictures", type=int, default=12, help="of each data set (12)")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for what is kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_blocks()  # as the service does when it starts
    for name in args.suites or SUITES:
        out = args.out / f"explain-{name}.json"
        SUITES[name](Asked(out, args.only, args.rounds, args.samples, args.pictures))


if __name__ == "__main__":
    main()
