"""`python -m fuzz.measured CASES [SEED]`: that many cases, what they reached, and what they left.

Fails where a case met a defect, where a module that decodes was reached less than the floor, or
where memory kept growing.
"""

import gc
import hashlib
import os
import random
import sys
import warnings
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

from fuzz.guided import CACHE
from serving import ROOT

__all__ = ["main"]

DECODERS = (
    *("protocol/options", "protocol/tensors", "wire/requests", "wire/http_body"),
    *("wire/connect", "wire/connect_messages", "wire/connect_stream"),
    *("wire/oip_parameters", "wire/oip_requests", "wire/oip_tensors", "wire/rest_json"),
    *("wire/rest_raw", "wire/rest_tensors", "wire/rest_v1", "runtime/images", "runtime/inputs"),
    *("runtime/manifest", "runtime/preprocess", "runtime/tokens", "runtime/toml"),
    *("runtime/training", "explain/parse", "engine/condition", "engine/extent", "engine/targets"),
)
# What the same modules have for clients, for documentation, and for a condition once it is read.
_NOT_DECODING = (
    r"def (to_method|_known|_field|_set|_number|to_tensor|join_elements|_as_bytes|"
    r"describe|passed_over|_scores|_not_explained|classify|add_output)\b|def _read\(field"
)
FLOOR = 91.0
"""Percent of the lines and branches of those, together."""
_GROWTH = 1024
"""Bytes that a case may leave behind, in the median tenth of the run: what is made once, a program
or an arena, comes in a jump now and then, a leak in every tenth."""


def main(arguments: list[str]) -> int:
    """Run, and report."""
    import coverage  # noqa: PLC0415 - not installed for the tests

    if (count := int(arguments[0])) < 10:
        sys.exit(f"CASES is {count}; expected at least 10, whose tenths can be compared")
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(2**32)
    include = [str(ROOT / "service" / "candor" / f"{name}.py") for name in DECODERS]
    watched = coverage.Coverage(branch=True, include=include, data_file=None, config_file=False)
    watched.exclude(_NOT_DECODING)
    watched.start()
    defects, grown = _run(count, seed)
    watched.stop()
    reached = watched.report(show_missing=True, skip_covered=False)
    print(f"seed {seed}: {count} cases, {defects} defects; {reached:.1f} % reached, floor {FLOOR}; "
          f"{grown:.0f} bytes kept a case, at most {_GROWTH}")  # fmt: skip
    return int(defects > 0 or reached < FLOOR or grown > _GROWTH)


def _run(count: int, seed: int) -> tuple[int, float]:
    from fuzz.ways import WAYS, WEIGHTS, open_ways  # noqa: PLC0415 - watched from the import on

    # Pillow warns of odd pictures in words of their own, which the service turns off as well.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    rng, seen, resident = random.Random(seed), defaultdict(Counter), []
    tenth = max(1, count // 10)
    ways, close = open_ways(CACHE / "work" / "measured")
    for name, way in ways.items():
        for kept in [*way.good, *way.kept, *_grown(name)]:
            seen[name][_tried(name, way, kept)] += 1
    for done in range(count):
        name = rng.choices(WAYS, WEIGHTS)[0]
        seen[name][_tried(name, ways[name], ways[name].case(rng))] += 1
        if (done + 1) % tenth == 0:
            resident.append(_resident())
    grown = median(after - before for before, after in pairwise(resident)) / tenth
    close()
    for name, outcomes in seen.items():
        print(name, sum(outcomes.values()), dict(outcomes.most_common()))
    print("resident MiB by tenths:", *(round(size / 2**20) for size in resident))
    return sum(outcomes["DEFECT"] for outcomes in seen.values()), grown


def _grown(name: str) -> list[bytes]:
    """What the guided runs found worth keeping."""
    return [path.read_bytes() for path in sorted((CACHE / "corpus" / name).glob("*"))]


def _tried(name: str, way, case: bytes) -> str:
    try:
        return way.take(case)
    except Exception as error:  # noqa: BLE001 - each is one to be told of
        folder = CACHE / "found" / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha256(case).hexdigest()[:16]
        path.write_bytes(case)
        cause = error.__cause__ or error
        print(f"DEFECT {name}: {error} ({type(cause).__name__}: {cause}), kept as {path}")
        return "DEFECT"


def _resident() -> int:
    from candor.runtime.heap import give_back  # noqa: PLC0415 - as above

    gc.collect()
    give_back()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
