"""`python -m benchmarks.scaling`: how candor scales.

measure   what a request costs a replica here; kept in benchmarks/scaling/results
report    the tables of docs/scaling.md, from what is kept and from the simulations
"""

import argparse
import sys

from benchmarks.scaling import measure, report


def main() -> int:
    """Do what is named."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.scaling", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", nargs="?", default="report", choices=("measure", "report"))
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round (3)")
    args = parser.parse_args()
    if args.what == "measure":
        costs = []
        for cost in measure.measure(args.seconds):
            print(cost, flush=True)
            costs.append(cost)
        measure.keep(costs)
    else:
        report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
