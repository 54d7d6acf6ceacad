"""A model as explainers see it: programs, compiled when first needed, behind the Subject calls."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from types import MappingProxyType

import numpy as np

from candor.result import (
    Array,
    CamFormula,
    Explained,
    Geometry,
    GradientRun,
    NoisyRun,
    PathRun,
    Scores,
)
from candor.runtime.batches import rows_at_once, run_in_batches
from candor.runtime.budget import Budget
from candor.runtime.covered import Covered, Covering
from candor.runtime.kept import Build, KeptPrograms, Lender, OpenSession
from candor.runtime.methods import layer_of
from candor.runtime.pace import Pace
from candor.runtime.programs.blueprint import Blueprint, explained_value
from candor.runtime.programs.cam import MAP, cam_program
from candor.runtime.programs.forward import embedding, forward
from candor.runtime.programs.gradient import (
    ALPHAS,
    BASELINE,
    GRADIENT,
    NOISE,
    ROW,
    VALUE,
    gradient_program,
    noisy_program,
    path_program,
)
from candor.runtime.programs.heads import DIRECTION, PROBABILITY, SCORE
from candor.runtime.programs.perturb import MASKS, SEGMENTS, perturb_program

__all__ = ["Compiled", "Lender", "OnRun", "OpenSession"]

_Key = tuple[str | int, ...]
_NOTHING: Mapping[str, Array] = MappingProxyType({})
_FORWARD: _Key = ("forward",)

OnRun = Callable[[str, int, float], None]
"""Told of every run: program, rows, seconds."""

_BULK = frozenset({"noisy", "path", "perturb"})
_BACKWARD = frozenset({"gradient", "noisy", "path"})


class Compiled:
    """Satisfies `explain.subject.Subject`. Safe to call from several threads."""

    def __init__(
        self,
        blueprint: Blueprint,
        geometry: Geometry,
        open_session: OpenSession,
        on_run: OnRun,
        lender: Lender | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            blueprint: looked at now; where there is a lender, it is not held.
            geometry: of the explained input.
            open_session: compiles a program.
            on_run: told of every run.
            lender: of memory and of the blueprint; None: everything is kept.
        """
        self._anatomy = blueprint.anatomy
        self._input = blueprint.input
        self._embedding = blueprint.embedding
        lender = lender or Lender(Budget(), "model", lambda: nullcontext(blueprint))
        self._geometry = geometry
        self._on_run = on_run
        # Some exports fix the number of rows in the graph.
        batch = (blueprint.graph.shape(blueprint.input) or (None,))[0]
        self._batch = batch if isinstance(batch, int) else None
        self._at_once = None if self._batch else rows_at_once(blueprint)
        self._programs = KeptPrograms(lender, open_session)
        self._covering = Covering(lender)
        self._pace = Pace()
        self._provider: str | None = None

    @property
    def geometry(self) -> Geometry:
        """How a row is laid out."""
        return self._geometry

    @property
    def n_classes(self) -> int:
        """k; a single logit counts two classes."""
        return max(2, self._anatomy.n_classes)

    @property
    def straight_through(self) -> bool:
        """Whether values on the way are quantised, so that gradients are estimates."""
        return self._anatomy.straight_through

    def predict(self, x: Array) -> Scores:
        """Scores and probabilities of x."""
        run = self.run(_FORWARD, forward, {self._input: x})
        return Scores(run[SCORE], run[PROBABILITY])

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Prediction and class activation map, out of one run."""
        run = self.run(
            (formula, layer, normalise),
            lambda found: cam_program(found, formula, layer, normalise=normalise),
            {self._input: x, DIRECTION: direction},
        )
        return Scores(run[SCORE], run[PROBABILITY]), run[MAP]

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """The layer to use: the named one, checked, or the default.

        Raises:
            NotFound: no such layer.
            Unsupported: the model has no layer for it, or `cam` is asked away from its head.
        """
        return layer_of(self._anatomy, formula, layer)

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """Prediction and gradient, out of one run."""
        run = self.run(
            ("gradient", explained),
            lambda found: gradient_program(found, explained),
            {self._input: x, DIRECTION: direction},
        )
        return GradientRun(Scores(run[SCORE], run[PROBABILITY]), run[GRADIENT], run[VALUE])

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        """Gradients on the line from the baseline to one row, m points in one run."""
        start, end = self._explained_value(baseline), self._explained_value(x)
        run = self.run(
            ("path", explained),
            lambda found: path_program(found, explained),
            {ALPHAS: alphas.astype(np.float32)},
            {ROW: x, BASELINE: start, DIRECTION: direction},
        )
        return PathRun(Scores(run[SCORE], run[PROBABILITY]), run[GRADIENT], (end - start)[0])

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        """Gradients at one row with noise added to its explained value, m of them in one run."""
        run = self.run(
            ("noisy", explained),
            lambda found: noisy_program(found, explained),
            {NOISE: noise},
            {ROW: x, DIRECTION: direction},
        )
        return NoisyRun(Scores(run[SCORE], run[PROBABILITY]), run[GRADIENT])

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """Scores of m perturbations of one row, masked inside the graph unless on CPUs.

        There numpy takes 0.2 ms for a picture of 224 x 224, ONNX Runtime's Gather and Where 1.2.
        """
        if self._is_on_cpu():
            began = perf_counter()
            shown, hidden = np.ascontiguousarray(x), np.ascontiguousarray(baseline)
            rows = {self._input: np.where(np.take(masks, segments, axis=1), shown, hidden)}
            run = self.run(_FORWARD, forward, rows, told=("perturb", perf_counter() - began))
        else:
            row = {ROW: x, BASELINE: baseline, SEGMENTS: segments}
            run = self.run(("perturb",), perturb_program, {MASKS: masks}, row)
        return Scores(run[SCORE], run[PROBABILITY])

    def covered(self, x: Array, baseline: Array, windows: Array) -> Covered | None:
        """A row with windows covered, where running what they reach is cheaper; else None."""
        if not self._is_on_cpu():
            return None
        return self._covering.of(self._timed, self._on_run, {self._input: x}, baseline, windows)

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into slices of bounded time."""
        return self._pace.slices(n)

    def _explained_value(self, x: Array) -> Array:
        """The row, or its embedding, in float32: integrals are of small steps."""
        value = explained_value(self._anatomy, self._input, self._embedding)
        if value != self._input:
            x = self.run(("embedding",), embedding, {self._input: x})[value]
        return x.astype(np.float32, copy=False)

    def run(
        self,
        key: _Key,
        build: Build,
        rows: Mapping[str, Array],
        shared: Mapping[str, Array] = _NOTHING,
        told: tuple[str, float] | None = None,
    ) -> dict[str, Array]:
        """Run a program on n rows, given beside what they share.

        `told` is what the run is counted as, and how many seconds were spent on it before.
        """
        n = len(next(iter(rows.values())))
        fixed = self._fixed(key, n)
        if fixed and n % fixed:
            again = partial(self.run, key, build, shared=shared, told=told)
            return run_in_batches(again, rows, n - n % fixed, fill=False)
        program, before_s = told or (str(key[0]), 0.0)
        found, spent_s = self._timed(key, build, rows, shared)
        seconds = before_s + spent_s
        # of forward runs only batches: a prediction alone tells little of what a sample costs
        if program in _BULK or (program == "forward" and n > 1):
            self._pace.note(n, seconds)
        self._on_run(program, n, seconds)
        return found

    def _timed(
        self, key: _Key, build: Build, rows: Mapping[str, Array], shared: Mapping[str, Array]
    ) -> tuple[dict[str, Array], float]:
        """Run a program on n rows, and say how many seconds that took, compiling apart."""
        fixed = self._fixed(key, n := len(next(iter(rows.values()))))
        kept = self._programs.of((*key, fixed), str(key[0]), build, fixed)
        with kept as session:
            best = self._at_once if key[0] in _BACKWARD and session.provider == "cpu" else None
            size, fill = self._batch or best or n, self._batch is not None
            began = perf_counter()
            found = run_in_batches(lambda p: session.run({**p, **shared}), rows, size, fill=fill)
            seconds = perf_counter() - began
            kept.grown(session.size_bytes)
        return found, seconds

    def _is_on_cpu(self) -> bool:
        if self._provider is None:
            with self._programs.of((*_FORWARD, None), "forward", forward, None) as session:
                self._provider = session.provider
        return self._provider == "cpu"

    def _fixed(self, key: _Key, n: int) -> int | None:
        """How many rows every run has, of those that are taken one by one or by twos."""
        if key[0] not in _BACKWARD or self._at_once not in {1, 2}:
            return None
        if self._at_once == 1:
            return 1
        return min(n, 2) if self._is_on_cpu() else None  # elsewhere one program does for any
