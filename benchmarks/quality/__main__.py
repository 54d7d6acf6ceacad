"""`python -m benchmarks.quality`: measure, and write tables and plots (CANDOR_DATA: the data sets).

    faithfulness   the figures of full trust by method, beside random maps, for each committed model
    localisation   pointing game and energy in the box, beside guesses
    report         tables and plots of docs/quality.md from what the other two have found

Rows are kept one by one in .cache/quality, so that a run that ended early goes on where it was, and
one with a larger --count adds to what is there; --anew forgets them, as it must where the service
has changed; --warnings explains the kept rows of `faithfulness` again for their warnings alone, as
where there is a new one. The means and their intervals are kept in benchmarks/quality/results, a
file each.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.quality import faithfulness, localisation, report
from benchmarks.quality.rewarn import rewarn
from benchmarks.quality.rows import REPOSITORY
from benchmarks.quality.suite import measured

RESULTS = Path(__file__).parent / "results"
KEPT = Path(".cache/quality")
UNEXPLAINED = ("digits-autoencoder",)
"""Models that name no class, so that there is nothing to explain."""


def main() -> int:
    """Measure what is named, on top of the rows that are kept."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument("what", choices=("faithfulness", "localisation", "report"))
    parser.add_argument("names", nargs="*", help="models, or sets of boxes (all)")
    parser.add_argument("--count", type=int, default=100, help="rows, pictures or mosaics (100)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--minutes", type=float, default=1e9, help="at most, for each name")
    parser.add_argument("--anew", action="store_true", help="forget the rows that are kept")
    parser.add_argument("--warnings", action="store_true", help="of kept rows, these alone anew")
    args = parser.parse_args()
    if args.what == "report":
        report.write(RESULTS)
        return 0
    root = os.environ.get("CANDOR_DATA")
    if not root:
        print("CANDOR_DATA must name the folder of the data sets", file=sys.stderr)
        return 2
    models = sorted(path.name for path in REPOSITORY.iterdir() if (path / "1").is_dir())
    suites, known = {
        "faithfulness": (faithfulness.suite, [m for m in models if m not in UNEXPLAINED]),
        "localisation": (localisation.suite, list(localisation.SETS)),
    }[args.what]
    for folder in (RESULTS, KEPT):
        folder.mkdir(parents=True, exist_ok=True)
    for name in args.names or known:
        began = time.monotonic()
        suite = suites(name, Path(root), args.count, args.seed)
        kept = KEPT / f"{args.what}-{name}-{args.seed}.jsonl"
        if args.anew:
            kept.unlink(missing_ok=True)
        if args.warnings:
            rewarn(name, Path(root), args.count, args.seed, kept)
        rows = measured(suite, kept, -1.0 if args.warnings else args.minutes * 60)
        found = {**suite.summary(rows), "seed": args.seed}
        file = RESULTS / f"{args.what}-{name}.json"
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} rows, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
