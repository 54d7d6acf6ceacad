"""`python -m fuzz.guided SECONDS [WAY ...]`: cases led by what they reach, with atheris.

Each way has its share of the time, in a process of its own, and a corpus in `.cache/fuzz/corpus`
that grows from run to run. The first defect ends its way; its case lies in `.cache/fuzz/found`.
"""

import subprocess
import sys
from random import Random

from serving import ROOT

__all__ = ["CACHE", "main"]

CACHE = ROOT / ".cache" / "fuzz"
_SHARES = {"rpc": 8, "http": 6, "picture": 2, "manifest": 2, "text": 1, "file": 2, "model": 1}
_COUNTS = ("stat::number_of_executed_units", "stat::new_units_added")
_LONGEST = 300_000  # bytes of a case: the largest file among the good ones


def main(arguments: list[str]) -> int:
    """Run every way for its share; how many met a defect."""
    seconds, asked = float(arguments[0]), arguments[1:] or list(_SHARES)
    whole = sum(_SHARES[name] for name in asked)
    failed = []
    for name in asked:
        share = max(5, round(seconds * _SHARES[name] / whole))
        command = [sys.executable, "-m", "fuzz.guided", "one", name, str(share)]
        ran = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        told = [line for line in ran.stderr.splitlines() if "Instrumenting" not in line]
        counts = [line.split()[1] for line in told if line.startswith(_COUNTS)]
        print(f"{name}: {share} s, cases and new ones kept: {', '.join(counts)}", flush=True)
        if ran.returncode:
            failed.append(name)
            print("\n".join(told[-60:]), flush=True)
    print(f"defects: {', '.join(failed) or 'none'}")
    return len(failed)


def _one(name: str, seconds: str) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - not installed for the tests

    with atheris.instrument_imports(include=["candor"]):
        from fuzz.ways import open_ways  # noqa: PLC0415 - instrumented on the way in
    for folder in ("work", "corpus", "found"):
        (CACHE / folder / name).mkdir(parents=True, exist_ok=True)
    ways, _ = open_ways(CACHE / "work" / name)
    way, corpus = ways[name], CACHE / "corpus" / name
    for number, case in enumerate(way.good):
        (corpus / f"good-{number}").write_bytes(case)

    def change(case: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        found = way.change(case, rng) if rng.random() < 0.5 else atheris.Mutate(case, longest)
        return found[:longest]

    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-artifact_prefix={CACHE / 'found' / name}/",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    ]
    atheris.Setup(arguments, lambda case: way.take(case) and None, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        _one(*sys.argv[2:])
    sys.exit(main(sys.argv[1:]))
