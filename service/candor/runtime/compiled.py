"""A model as explainers see it: programs, compiled when first needed, behind the Subject calls."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Lock
from time import perf_counter
from types import MappingProxyType

import numpy as np
from onnx import ModelProto

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
from candor.runtime.methods import layer_of
from candor.runtime.pace import Pace
from candor.runtime.programs.blueprint import Blueprint
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
from candor.runtime.session import Session

__all__ = ["Compiled", "OnRun", "OpenSession"]


_Key = tuple[str | bool, ...]
_Build = Callable[[], ModelProto]
_NOTHING: Mapping[str, Array] = MappingProxyType({})

OpenSession = Callable[[ModelProto, int | None], Session]
"""Compiles a program, on CPUs for so many rows a run; None for any number."""

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
    ) -> None:
        self._blueprint = blueprint
        self._geometry = geometry
        self._open = open_session
        self._on_run = on_run
        # Some exports fix the number of rows in the graph.
        batch = (blueprint.graph.shape(blueprint.input) or (None,))[0]
        self._batch = batch if isinstance(batch, int) else None
        self._at_once = None if self._batch else rows_at_once(blueprint)
        self._sessions: dict[_Key, Session] = {}
        self._lock = Lock()
        self._pace = Pace()

    @property
    def geometry(self) -> Geometry:
        """How a row is laid out."""
        return self._geometry

    @property
    def n_classes(self) -> int:
        """k; a single logit counts two classes."""
        return max(2, self._blueprint.anatomy.n_classes)

    @property
    def straight_through(self) -> bool:
        """Whether values on the way are quantised, so that gradients are estimates."""
        return self._blueprint.anatomy.straight_through

    def predict(self, x: Array) -> Scores:
        """Scores and probabilities of x."""
        rows = {self._blueprint.input: x}
        run = self._run(("forward",), partial(forward, self._blueprint), rows)
        return Scores(run[SCORE], run[PROBABILITY])

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Prediction and class activation map, out of one run."""
        run = self._run(
            (formula, layer, normalise),
            partial(cam_program, self._blueprint, formula, layer, normalise=normalise),
            {self._blueprint.input: x, DIRECTION: direction},
        )
        return Scores(run[SCORE], run[PROBABILITY]), run[MAP]

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """The layer to use: the named one, checked, or the default.

        Raises:
            NotFound: no such layer.
            Unsupported: the model has no layer for it, or `cam` is asked away from its head.
        """
        return layer_of(self._blueprint.anatomy, formula, layer)

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """Prediction and gradient, out of one run."""
        run = self._run(
            ("gradient", explained),
            partial(gradient_program, self._blueprint, explained),
            {self._blueprint.input: x, DIRECTION: direction},
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return GradientRun(scores, run[GRADIENT], run[VALUE])

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        """Gradients on the line from the baseline to one row, m points in one run."""
        start, end = self._explained_value(baseline), self._explained_value(x)
        run = self._run(
            ("path", explained),
            partial(path_program, self._blueprint, explained),
            {ALPHAS: alphas.astype(np.float32)},
            {ROW: x, BASELINE: start, DIRECTION: direction},
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return PathRun(scores, run[GRADIENT], (end - start)[0])

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        """Gradients at one row with noise added to its explained value, m of them in one run."""
        run = self._run(
            ("noisy", explained),
            partial(noisy_program, self._blueprint, explained),
            {NOISE: noise},
            {ROW: x, DIRECTION: direction},
        )
        return NoisyRun(Scores(run[SCORE], run[PROBABILITY]), run[GRADIENT])

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """Scores of m perturbations of one row, masked inside the graph."""
        row = {ROW: x, BASELINE: baseline, SEGMENTS: segments}
        build = partial(perturb_program, self._blueprint)
        run = self._run(("perturb",), build, {MASKS: masks}, row)
        return Scores(run[SCORE], run[PROBABILITY])

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into slices of bounded time."""
        return self._pace.slices(n)

    def _explained_value(self, x: Array) -> Array:
        """The row, or its embedding, in float32: integrals are of small steps."""
        value = self._blueprint.explained
        if value != self._blueprint.input:
            rows = {self._blueprint.input: x}
            x = self._run(("embedding",), partial(embedding, self._blueprint), rows)[value]
        return x.astype(np.float32, copy=False)

    def _run(
        self,
        key: _Key,
        build: _Build,
        rows: Mapping[str, Array],
        shared: Mapping[str, Array] = _NOTHING,
    ) -> dict[str, Array]:
        """Run a program on n rows, given beside what they share."""
        session = self._session(key, build)
        n = len(next(iter(rows.values())))
        began = perf_counter()
        best = self._at_once if key[0] in _BACKWARD and session.provider == "cpu" else None
        at_once = self._batch or best or n
        if n == at_once or (self._batch is None and n < at_once):
            found = session.run({**rows, **shared})
        else:
            found = run_in_batches(
                lambda piece: session.run({**piece, **shared}),
                rows,
                at_once,
                fill=self._batch is not None,
            )
        seconds = perf_counter() - began
        program = str(key[0])
        # of forward runs only batches: a prediction alone tells little of what a sample costs
        if program in _BULK or (program == "forward" and n > 1):
            self._pace.note(n, seconds)
        self._on_run(program, n, seconds)
        return found

    def _fixed(self, key: _Key) -> int | None:
        """How many rows every run has: one, where more are taken one by one."""
        return 1 if key[0] in _BACKWARD and self._at_once == 1 else None

    def _session(self, key: _Key, build: _Build) -> Session:
        # Compilation holds the lock: two requests for a new program must not both build it.
        found = self._sessions.get(key)
        if found is None:
            with self._lock:
                found = self._sessions.get(key)
                if found is None:
                    found = self._sessions[key] = self._open(build(), self._fixed(key))
        return found
