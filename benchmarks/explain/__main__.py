"""`python -m benchmarks.explain`: how many samples LIME needs (CANDOR_DATA names the data sets)."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.explain.adaptive import measure, photographs, photos


def main() -> int:
    """Print a table, a line a tolerance."""
    parser = argparse.ArgumentParser(prog="benchmarks.explain", description=__doc__)
    parser.add_argument("--pictures", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    args = parser.parse_args()
    root = os.environ.get("CANDOR_DATA")
    if not root:
        print("CANDOR_DATA must name the folder of the data sets", file=sys.stderr)
        return 2
    rows = measure(
        photos(), photographs(Path(root), args.pictures, args.seed), [0.3, 0.2, 0.1, None]
    )
    print("| tolerance | samples, mean | samples, most | of the five leading segments, kept |")
    print("| --------: | ------------: | ------------: | ---------------------------------: |")
    for row in rows:
        shown = "none" if row.tolerance is None else f"{row.tolerance:g}"
        print(f"| {shown} | {row.mean_samples:.0f} | {row.most_samples} | {row.mean_overlap:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
