"""A model as explainers see it: programs, compiled when first needed, behind the Subject calls."""

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from time import perf_counter

import numpy as np
from onnx import ModelProto

from candor.errors import NotFound, Unsupported
from candor.result import (
    Array,
    CamFormula,
    Explained,
    Geometry,
    GradientRun,
    PathRun,
    Scores,
)
from candor.runtime.pace import Pace
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.cam import MAP, cam_program
from candor.runtime.programs.forward import embedding, forward
from candor.runtime.programs.gradient import (
    ALPHAS,
    BASELINE,
    GRADIENT,
    VALUE,
    gradient_program,
    path_program,
)
from candor.runtime.programs.heads import DIRECTION, PROBABILITY, SCORE
from candor.runtime.programs.perturb import MASKS, ROW, SEGMENTS, perturb_program
from candor.runtime.session import Session

__all__ = ["Compiled", "OnRun"]


_Key = tuple[str | bool, ...]
_Build = Callable[[], ModelProto]

OnRun = Callable[[str, int, float], None]
"""Told of every run: program, rows, seconds."""

_BULK = frozenset({"path", "perturb"})


class Compiled:
    """Satisfies `explain.subject.Subject`. Safe to call from several threads."""

    def __init__(
        self,
        blueprint: Blueprint,
        geometry: Geometry,
        open_session: Callable[[ModelProto], Session],
        on_run: OnRun,
    ) -> None:
        self._blueprint = blueprint
        self._geometry = geometry
        self._open = open_session
        self._on_run = on_run
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

    def predict(self, x: Array) -> Scores:
        """Scores and probabilities of x."""
        feeds = {self._blueprint.input: x}
        run = self._run(("forward",), lambda: forward(self._blueprint), feeds, len(x))
        return Scores(run[SCORE], run[PROBABILITY])

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Prediction and class activation map, out of one run."""
        run = self._run(
            (formula, layer, normalise),
            lambda: cam_program(self._blueprint, formula, layer, normalise=normalise),
            {self._blueprint.input: x, DIRECTION: direction},
            len(x),
        )
        return Scores(run[SCORE], run[PROBABILITY]), run[MAP]

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """The layer to use: the named one, checked, or the default.

        Raises:
            NotFound: no such layer.
            Unsupported: the model has no layer for it, or `cam` is asked away from its head.
        """
        anatomy = self._blueprint.anatomy
        names = [found.name for found in anatomy.layers]
        if layer is not None and layer not in names and formula != "cam":
            raise NotFound(f"there is no layer '{layer}'; there are {', '.join(names) or 'none'}")
        if formula == "cam":
            if anatomy.cam_head is None:
                hint = "; grad_cam needs no such head" if names else ""
                raise Unsupported(
                    f"cam needs global average pooling and at most one linear layer before the "
                    f"scores, but {anatomy.cam_refusal}{hint}"
                )
            if layer not in (None, anatomy.cam_head.layer):
                raise NotFound(
                    f"cam has the one layer '{anatomy.cam_head.layer}', not '{layer}'; "
                    "grad_cam takes any of the model's"
                )
            return anatomy.cam_head.layer
        found = layer or anatomy.layer
        if found is None:
            raise Unsupported("no layer with a spatial extent lies between the input and the score")
        return found

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """Prediction and gradient, out of one run."""
        run = self._run(
            ("gradient", explained),
            lambda: gradient_program(self._blueprint, explained),
            {self._blueprint.input: x, DIRECTION: direction},
            len(x),
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
            lambda: path_program(self._blueprint, explained),
            {
                self._blueprint.input: x,
                BASELINE: start,
                ALPHAS: alphas.astype(np.float32),
                DIRECTION: direction,
            },
            len(alphas),
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return PathRun(scores, run[GRADIENT], (end - start)[0])

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """Scores of m perturbations of one row, masked inside the graph."""
        feeds = {ROW: x, BASELINE: baseline, SEGMENTS: segments, MASKS: masks}
        run = self._run(("perturb",), lambda: perturb_program(self._blueprint), feeds, len(masks))
        return Scores(run[SCORE], run[PROBABILITY])

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into slices of bounded time."""
        return self._pace.slices(n)

    def refusals(self) -> Mapping[str, str | None]:
        """For each kind of program the reason why it cannot be compiled; None where it can."""
        builds: dict[str, Callable[[], object]] = {
            "cam": lambda: self.cam_layer("cam", None),
            "grad_cam": lambda: cam_program(
                self._blueprint, "grad_cam", self.cam_layer("grad_cam", None), normalise=True
            ),
            "gradient": lambda: gradient_program(self._blueprint, "score"),
            "integrated_gradients": lambda: path_program(self._blueprint, "score"),
            "occlusion": lambda: perturb_program(self._blueprint),
            "lime": lambda: perturb_program(self._blueprint),
        }
        return {name: _refusal(build) for name, build in builds.items()}

    def _explained_value(self, x: Array) -> Array:
        value = self._blueprint.explained
        if value == self._blueprint.input:
            return x
        feeds = {self._blueprint.input: x}
        return self._run(("embedding",), lambda: embedding(self._blueprint), feeds, len(x))[value]

    def _run(
        self, key: _Key, build: _Build, feeds: Mapping[str, Array], rows: int
    ) -> dict[str, Array]:
        session = self._session(key, build)
        began = perf_counter()
        found = session.run(feeds)
        seconds = perf_counter() - began
        program = str(key[0])
        if program in _BULK:
            self._pace.note(rows, seconds)
        self._on_run(program, rows, seconds)
        return found

    def _session(self, key: _Key, build: _Build) -> Session:
        # Compilation holds the lock: two requests for a new program must not both build it.
        found = self._sessions.get(key)
        if found is None:
            with self._lock:
                found = self._sessions.get(key)
                if found is None:
                    found = self._sessions[key] = self._open(build())
        return found


def _refusal(build: Callable[[], object]) -> str | None:
    try:
        build()
    except Unsupported as error:
        return error.message
    return None
