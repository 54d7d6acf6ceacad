"""One row with windows covered, some in a run: only what a window can reach is run again.

How many are in a run is learnt from how long the longest of its stages takes (`programs.stages`).
"""

import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Final, TypeAlias

import numpy as np

from candor.autodiff import Program
from candor.errors import CandorError
from candor.result import Array, Scores
from candor.runtime.kept import Build, Lender
from candor.runtime.pace import Pace
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.heads import PROBABILITY, SCORE
from candor.runtime.programs.indices import INDICES, LENGTHS, Places
from candor.runtime.programs.recompute import Recipe, recomputation
from candor.runtime.programs.stages import HANDED, Draft

__all__ = ["Covered", "Covering"]

_LOG = logging.getLogger(__name__)

Covered: TypeAlias = Callable[[Array], Iterator[Scores]]
"""As `explain.subject.Covered`."""

_Key = tuple[str | int, ...]
_Run = Callable[
    [_Key, Build, Mapping[str, Array], Mapping[str, Array]], tuple[dict[str, Array], float]
]
"""Runs a program of this key on rows, and on what they share; says how many seconds it took."""

_Tell = Callable[[str, int, float], None]
"""Told of every run: program, rows, seconds."""

_WORTH: Final = 0.85
"""Of the time of whole rows, as estimated: from here on windows are run whole."""
_FEWEST: Final = 4
_MOST_BYTES: Final = 128 * 2**20
_COUNTED: Final = 256
_AHEAD: Final = 256
"""Windows whose places are made at once."""


class Covering:
    """What is known of a model for this, without its weights. Safe to use from several threads.

    Attributes:
        pace: of the longest stage of a run.
    """

    def __init__(self, lender: Lender) -> None:
        self.pace = Pace()
        self._lender = lender
        self._recipe: Recipe | None = None
        self._refusal: str | None = None
        self._tried = False
        self._drafts: dict[int, Draft] = {}
        self._lock = Lock()

    def refusal(self, windows: Array) -> str | None:
        """Why whole rows are run with windows covered instead; None where parts of them are.

        Args:
            windows: int64 [m, 2, axes]: low and high ends, not empty.
        """
        recipe = self._planned()
        if recipe is None:
            return self._refusal
        if len(windows) < _FEWEST:
            return f"{len(windows)} windows are too few"
        n_bytes = 4 * sum(math.prod(shape) for shape in recipe.contexts.values())
        if n_bytes > _MOST_BYTES:
            return f"the activations of a row take {n_bytes / 2**20:.0f} MiB"
        some = windows[:: -(-len(windows) // _COUNTED)]
        part_ns = recipe.cost.part_ns(recipe.boxes((some[:, 0], some[:, 1])))
        whole_ns = recipe.cost.whole_ns
        if part_ns > _WORTH * whole_ns:
            return f"a window would take {part_ns / whole_ns:.2f} of the time of a row"
        return None

    def of(
        self, run: _Run, tell: _Tell, row: Mapping[str, Array], baseline: Array, windows: Array
    ) -> Covered | None:
        """Run a row, and keep what it made for as long as what is returned.

        Returns:
            What runs it with windows covered; None where `refusal` has a reason.
        """
        if self.refusal(windows) is not None or self._recipe is None:
            return None
        try:
            found, seconds = run(("remember",), _first, row, {})
            tell("remember", 1, seconds)
            covered = _Row(self, self._recipe, windows, (run, tell), found, baseline)
            if not self._tried:  # a program that does not compile, or take several, is found out
                list(covered(windows[:2]))
                self._tried = True
        except CandorError as error:
            self.compiled()
            _LOG.debug("%s: windows are run whole: %s", self._lender.model, error.message)
            return None
        return covered

    def stage(self, number: int, blueprint: Blueprint) -> Program:
        """One stage of the second program; those after it are at hand until `compiled`."""
        found = self._drafts.pop(number, None)
        if found is None:
            found, *later = recomputation(blueprint).again[number:]
            self._drafts = dict(enumerate(later, number + 1))
        return found.made()

    def compiled(self) -> None:
        """All stages have run, or one cannot: what is at hand is of no use."""
        self._drafts.clear()

    def _planned(self) -> Recipe | None:
        with self._lock:
            if self._recipe is None and self._refusal is None:
                try:
                    with self._lender.blueprint() as blueprint:
                        self._recipe = recomputation(blueprint).recipe
                except Exception as error:  # noqa: BLE001 - what is not understood is run whole
                    self._refusal = str(error) or type(error).__name__
                    _LOG.debug("%s: windows are run whole: %s", self._lender.model, error)
        return self._recipe


class _Row:
    """Satisfies `explain.subject.Covered`."""

    def __init__(
        self,
        covering: Covering,
        recipe: Recipe,
        windows: Array,
        ways: tuple[_Run, _Tell],
        found: Mapping[str, Array],
        baseline: Array,
    ) -> None:
        self._covering, self._recipe, self._windows = covering, recipe, windows
        self._run, self._tell = ways
        self._whole = Scores(found[SCORE], found[PROBABILITY])
        self._none = Scores(found[SCORE][:0], found[PROBABILITY][:0])
        shared = {name: found[name] for name in recipe.contexts}
        self._shared = shared | {BASELINE: recipe.matrix(baseline)}
        self._numbers = {window.tobytes(): number for number, window in enumerate(windows)}
        self._ahead: tuple[int, Places | None] = (-1, None)

    def __call__(self, windows: Array) -> Iterator[Scores]:
        """Scores of some windows at a time; of none where the clock should be looked at."""
        filled = np.all(windows[:, 0] < windows[:, 1], axis=1).tolist()
        numbers = [
            self._numbers[window.tobytes()] if covers else -1
            for window, covers in zip(windows, filled, strict=True)
        ]
        yield self._none  # the row itself was run just now
        while numbers:
            n = self._slice()
            each = []
            for run in self._parts(numbers[:n]):
                scores = yield from self._runs(run)
                each.append(scores)
            yield Scores(
                np.concatenate([scores.score for scores in each]),
                np.concatenate([scores.probability for scores in each]),
            )
            numbers = numbers[n:]

    def _slice(self) -> int:
        """How many windows the next slice has: of one run, or without stages of several."""
        n, at_once = self._covering.pace.rows(), self._recipe.at_once
        if n <= at_once:
            return n
        return at_once if len(self._recipe.takes) > 1 else n - n % at_once

    def _parts(self, numbers: list[int]) -> Iterator[list[int]]:
        """Cut into runs, by numbers; -1: nothing is covered."""
        for _, block in groupby(numbers, key=lambda number: number // _AHEAD):
            some = list(block)
            n_runs = -(-len(some) // self._recipe.at_once)
            size = -(-len(some) // n_runs)  # five are three and two, not four and one
            for start in range(0, len(some), size):
                yield some[start : start + size]

    def _runs(self, numbers: list[int]) -> Generator[Scores, None, Scores]:
        """Of windows of one block, stage by stage."""
        block, n = numbers[0] // _AHEAD, len(numbers)
        if block < 0:
            whole = self._whole
            return Scores(
                np.repeat(whole.score, n, axis=0), np.repeat(whole.probability, n, axis=0)
            )
        fed = self._recipe.feeder.fed(self._places(block), [n % _AHEAD for n in numbers])
        held, spent_s = {**self._shared, INDICES: fed[INDICES]}, [0.0]
        for number, takes in enumerate(self._recipe.takes):
            if number:
                yield self._none
            shared = {name: held[name] for name in takes if name != LENGTHS}
            build = partial(self._covering.stage, number)
            found, seconds = self._run(
                ("recompute", number), build, {LENGTHS: fed[LENGTHS]}, shared
            )
            held |= found | {HANDED + name: value for name, value in found.items()}
            spent_s.append(seconds)
        self._covering.compiled()
        self._covering.pace.note(n, max(spent_s))
        self._tell("recompute", n, sum(spent_s))
        return Scores(held[SCORE], held[PROBABILITY])

    def _places(self, block: int) -> Places:
        known, places = self._ahead
        if places is None or known != block:
            some = self._windows[block * _AHEAD : (block + 1) * _AHEAD]
            places = self._recipe.places((some[:, 0], some[:, 1]))
            self._ahead = block, places
        return places


def _first(blueprint: Blueprint) -> Program:
    return recomputation(blueprint).first.made()
