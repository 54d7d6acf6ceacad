"""Timing several ways to do the same thing in one process, turn by turn.

A machine that others use as well is slow for seconds at a time. So every round lets each contender
have one turn, in an order drawn anew, and what is reported is the median over the rounds of the
ratio within a round: what slows a round down slows both sides of its ratio down.
"""

import gc
import json
import platform
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

__all__ = ["Contest", "Pace", "Spread", "interleave", "machine", "markdown", "save", "spread"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to measure.

    Attributes:
        seconds: for all rounds of one contest together; at least `rounds[0]` are run.
        rounds: fewest and most.
        turn: seconds that one turn lasts at least; short calls are repeated within it.
    """

    seconds: float = 20.0
    rounds: tuple[int, int] = (5, 51)
    turn: float = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Median, and half the distance between the quartiles."""
        digits = 2 if self.median < 100 else 0
        return f"{self.median:.{digits}f} ±{(self.high - self.low) / 2:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Contest:
    """Seconds per call: one entry per round for each contender."""

    seconds: dict[str, list[float]]

    def milliseconds(self, name: str) -> Spread:
        """How long one call of a contender takes."""
        return spread([1e3 * t for t in self.seconds[name]])

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long as another it takes, compared within each round."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return spread([a / b for a, b in pairs])


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of some values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    pace: Pace | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Contest:
    """Let contenders take turns; each is called twice beforehand, untimed.

    `clock` tells seconds; `process_time` does not count what others do, where all have one thread.
    """
    pace = pace or Pace()
    repeats = {name: _repeats(call, pace.turn, clock) for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    began, played = perf_counter(), 0
    gc.disable()
    try:
        fewest, most = pace.rounds
        while played < fewest or (played < most and perf_counter() - began < pace.seconds):
            random.shuffle(order)
            for name in order:
                seconds[name].append(_turn(contenders[name], repeats[name], clock))
            played += 1
    finally:
        gc.enable()
    return Contest(seconds)


def _repeats(call: Callable[[], object], turn: float, clock: Callable[[], float]) -> int:
    call()
    once = _turn(call, 1, clock)
    return max(1, round(turn / max(once, 1e-9)))


def _turn(call: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(repeats):
        call()
    return (clock() - began) / repeats


# Reports


def machine(*packages: str) -> dict[str, str]:
    """What a figure was measured on: processor, Python, and the versions of packages."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    facts = {"processor": models[0], "cores": str(len(models)), "python": platform.python_version()}
    return facts | {package: version(package) for package in packages}


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table: the first column to the left, all others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in row) + " |"
        for row in (list(enumerate(zip(line, widths, strict=True))) for line in cells)
    ]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def save(path: Path, facts: Mapping[str, str], contests: Mapping[str, Contest]) -> None:
    """Write every sample of some contests, so that other figures can be had of them later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {name: asdict(contest)["seconds"] for name, contest in contests.items()}
    path.write_text(json.dumps({"machine": facts, "seconds": found}, indent=1), encoding="utf-8")
