"""`python -m benchmarks.quality`: measure, and write tables and plots (CANDOR_DATA: the data sets).

    faithfulness   the figures of full trust by method, beside random maps, for each committed model
    localisation   pointing game and energy in the box, beside guesses
    report         tables and plots of docs/quality.md from what the other two have kept

Results are kept in benchmarks/quality/results, a file each.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.quality import faithfulness, localisation, report
from benchmarks.quality.rows import REPOSITORY

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what is named; the models or sets that are already kept are measured anew."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument("what", choices=("faithfulness", "localisation", "report"))
    parser.add_argument("names", nargs="*", help="models, or sets of boxes (all)")
    parser.add_argument("--count", type=int, default=20, help="rows, pictures or mosaics (20)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    args = parser.parse_args()
    if args.what == "report":
        report.write(RESULTS)
        return 0
    root = os.environ.get("CANDOR_DATA")
    if not root:
        print("CANDOR_DATA must name the folder of the data sets", file=sys.stderr)
        return 2
    models = sorted(path.name for path in REPOSITORY.iterdir() if (path / "1").is_dir())
    suite, known = {
        "faithfulness": (faithfulness.measure, models),
        "localisation": (localisation.measure, list(localisation.SETS)),
    }[args.what]
    RESULTS.mkdir(exist_ok=True)
    for name in args.names or known:
        began = time.monotonic()
        found = suite(name, Path(root), args.count, args.seed)
        found |= {"seed": args.seed, "seconds": round(time.monotonic() - began)}
        file = RESULTS / f"{args.what}-{name}.json"
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {found['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
