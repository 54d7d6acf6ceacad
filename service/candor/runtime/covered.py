"""One row with windows covered, some in a run: only what a window can reach is run again."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
from onnx import ModelProto

from candor.errors import CandorError
from candor.result import Array, Scores
from candor.runtime.kept import Build, Lender
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.heads import PROBABILITY, SCORE
from candor.runtime.programs.indices import INDICES, LENGTHS, Places
from candor.runtime.programs.recompute import Recipe, recomputation

__all__ = ["Covered", "Covering"]

_LOG = logging.getLogger(__name__)

Covered: TypeAlias = Callable[[Array], Scores]
"""As `explain.subject.Covered`."""

_Run = Callable[[tuple[str], Build, Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]
"""Runs a program of this key on rows, and on what they share."""

_WORTH: Final = 0.85
"""Of the time of whole rows, as estimated: from here on windows are run whole."""
_FEWEST: Final = 4
_MOST_BYTES: Final = 128 * 2**20
_COUNTED: Final = 256
_AHEAD: Final = 256
"""Windows whose places are made at once."""
_AT_ONCE: Final = 4
"""Windows of a run at most: they share what its operators take, and weights while they are near."""


class Covering:
    """What is known of a model for this, without its weights. Safe to use from several threads."""

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self._recipe: Recipe | None = None
        self._refusal: str | None = None
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
        self, run: _Run, input_name: str, x: Array, baseline: Array, windows: Array
    ) -> Covered | None:
        """Run a row, and keep what it made for as long as what is returned.

        Returns:
            What runs it with windows covered; None where `refusal` has a reason.
        """
        if self.refusal(windows) is not None or self._recipe is None:
            return None
        try:
            row = _Row(self._recipe, windows, run, {input_name: x}, baseline)
            row(windows[:2])  # a program that does not compile, or take several, is found out here
        except CandorError as error:
            _LOG.debug("%s: windows are run whole: %s", self._lender.model, error.message)
            return None
        return row

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
        self, recipe: Recipe, windows: Array, run: _Run, row: Mapping[str, Array], baseline: Array
    ) -> None:
        found = run(("remember",), _first, row, {})
        self._recipe, self._windows, self._run = recipe, windows, run
        self._whole = Scores(found[SCORE], found[PROBABILITY])
        shared = {name: found[name] for name in recipe.contexts}
        self._shared = shared | {BASELINE: recipe.matrix(baseline)}
        self._numbers = {window.tobytes(): number for number, window in enumerate(windows)}
        self._ahead: tuple[int, Places | None] = (-1, None)
        self._at_once = 1 if recipe.one_by_one else _AT_ONCE

    def __call__(self, windows: Array) -> Scores:
        each = [self._runs(run) for run in self._parts(windows)]
        return Scores(
            np.concatenate([scores.score for scores in each]),
            np.concatenate([scores.probability for scores in each]),
        )

    def _parts(self, windows: Array) -> Iterator[list[int]]:
        """Cut into runs, by their numbers; -1: nothing is covered."""
        filled = np.all(windows[:, 0] < windows[:, 1], axis=1).tolist()
        numbers = [
            self._numbers[window.tobytes()] if covers else -1
            for window, covers in zip(windows, filled, strict=True)
        ]
        for _, block in groupby(numbers, key=lambda number: number // _AHEAD):
            some = list(block)
            n_runs = -(-len(some) // self._at_once)
            size = -(-len(some) // n_runs)  # five are three and two, not four and one
            for start in range(0, len(some), size):
                yield some[start : start + size]

    def _runs(self, numbers: list[int]) -> Scores:
        """Of windows of one block."""
        block = numbers[0] // _AHEAD
        if block < 0:
            whole, n = self._whole, len(numbers)
            return Scores(
                np.repeat(whole.score, n, axis=0), np.repeat(whole.probability, n, axis=0)
            )
        places = self._places(block)
        fed = self._recipe.feeder.fed(places, [number % _AHEAD for number in numbers])
        shared = {**self._shared, INDICES: fed[INDICES]}
        found = self._run(("recompute",), _again, {LENGTHS: fed[LENGTHS]}, shared)
        return Scores(found[SCORE], found[PROBABILITY])

    def _places(self, block: int) -> Places:
        known, places = self._ahead
        if places is None or known != block:
            some = self._windows[block * _AHEAD : (block + 1) * _AHEAD]
            places = self._recipe.places((some[:, 0], some[:, 1]))
            self._ahead = block, places
        return places


def _first(blueprint: Blueprint) -> ModelProto:
    return recomputation(blueprint).first


def _again(blueprint: Blueprint) -> ModelProto:
    return recomputation(blueprint).again
