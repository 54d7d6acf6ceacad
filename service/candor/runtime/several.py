"""A model of several inputs as explainers see it: rows that hold all of them end to end.

A row is float64, which holds every number of the models' types but whole ones beyond 2^53; these
are refused. So an explainer asks nothing else of a model with several inputs, and a row of it can
be sliced, kept and hashed like any other.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter

import numpy as np

from candor.errors import InvalidInput, Unsupported
from candor.geometry import Part
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
from candor.runtime.compiled import Compiled
from candor.runtime.covered import Covered
from candor.runtime.programs.blueprint import End, nth
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

__all__ = ["Several", "laid"]

_EXACT = 2**53


def laid(
    compiled: Compiled, ends: Sequence[End], held: Sequence[str], tensors: Mapping[str, Array]
) -> tuple["Several", Array]:
    """A model for rows of the shapes that these have, and the rows, float64 [n, all values].

    Raises:
        InvalidInput: the inputs differ in their rows, or hold a number that float64 cannot.
    """
    names = [*(end.input for end in ends), *held]
    arrays = {name: tensors[name] for name in names}
    first, n = names[0], len(tensors[names[0]])
    for name, array in arrays.items():
        if len(array) != n:
            raise InvalidInput(
                f"input '{name}' has {len(array)} rows where input '{first}' has {n}"
            )
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
            _refuse_inexact(name, array)
    rows = np.concatenate([a.reshape(n, -1).astype(np.float64) for a in arrays.values()], axis=1)
    shapes = {name: (array.dtype, array.shape[1:]) for name, array in arrays.items()}
    return Several(compiled, tuple(ends), shapes), rows


def _refuse_inexact(name: str, array: Array) -> None:
    for extreme in (array.max(), array.min()):
        if abs(int(extreme)) > _EXACT:
            raise InvalidInput(
                f"input '{name}' holds {extreme}; of models with several inputs, whole numbers up "
                f"to {_EXACT} can be explained"
            )


class Several:
    """Satisfies `explain.subject.Subject`, for rows of one shape."""

    def __init__(
        self,
        compiled: Compiled,
        ends: tuple[End, ...],
        shapes: Mapping[str, tuple[np.dtype[np.generic], tuple[int, ...]]],
    ) -> None:
        """Compile nothing.

        Args:
            compiled: the programs.
            ends: the inputs that are explained.
            shapes: dtype and shape of a row of each input, those first that are explained.
        """
        self._compiled = compiled
        self._ends = ends
        self._shapes = shapes
        self._parts = tuple(_part(end, shapes[end.input][1], shown=len(ends) > 1) for end in ends)

    @property
    def geometry(self) -> Geometry:
        """How a row is laid out."""
        return Geometry("several", None, parts=self._parts)

    @property
    def n_classes(self) -> int:
        """k; a single logit counts two classes."""
        return self._compiled.n_classes

    @property
    def straight_through(self) -> bool:
        """Whether values on the way are quantised, so that gradients are estimates."""
        return self._compiled.straight_through

    def predict(self, x: Array) -> Scores:
        """Scores and probabilities of x."""
        run = self._compiled.run(("forward",), forward, self._apart(x))
        return Scores(run[SCORE], run[PROBABILITY])

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Prediction and the maps of those inputs whose positions the layer has, end to end."""
        run = self._compiled.run(
            (formula, layer, normalise),
            lambda found: cam_program(found, formula, layer, normalise=normalise),
            {**self._apart(x), DIRECTION: direction},
        )
        own = [at for at, part in enumerate(self._parts) if layer in part.layers]
        return Scores(run[SCORE], run[PROBABILITY]), self._flat([run[nth(MAP, at)] for at in own])

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """As `Compiled.cam_layer`.

        Raises:
            NotFound, Unsupported: as that; or a layer that has the positions of no input.
        """
        found = self._compiled.cam_layer(formula, layer)
        if not any(found in part.layers for part in self._parts):
            raise Unsupported(f"layer '{found}' has the positions of none of the model's inputs")
        return found

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """Prediction and the gradients to all inputs, out of one run."""
        run = self._compiled.run(
            ("gradient", explained),
            lambda found: gradient_program(found, explained),
            {**self._apart(x), DIRECTION: direction},
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return GradientRun(scores, self._together(run, GRADIENT), self._together(run, VALUE))

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        """Gradients on the line from the baseline to one row, of all inputs at once."""
        start, end = self._values(baseline), self._values(x)
        run = self._compiled.run(
            ("path", explained),
            lambda found: path_program(found, explained),
            {ALPHAS: alphas.astype(np.float32)},
            {**self._row(x), **self._of_values(BASELINE, start), DIRECTION: direction},
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return PathRun(scores, self._together(run, GRADIENT), (end - start)[0])

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        """Gradients at one row with noise added to the explained values of all inputs."""
        run = self._compiled.run(
            ("noisy", explained),
            lambda found: noisy_program(found, explained),
            self._of_values(NOISE, noise),
            {**self._row(x), DIRECTION: direction},
        )
        scores = Scores(run[SCORE], run[PROBABILITY])
        return NoisyRun(scores, self._together(run, GRADIENT))

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """Scores of m perturbations of one row; numpy masks each input, whatever the device."""
        began = perf_counter()
        hidden, groups = self._apart(baseline), self._cut(segments.reshape(1, -1))
        rows = {}
        for (name, shown), group in zip(self._apart(x).items(), groups, strict=True):
            if np.array_equal(shown, hidden[name]):  # another input's turn
                rows[name] = np.repeat(shown, len(masks), axis=0)
            else:
                kept = np.take(masks, group[0], axis=1)
                rows[name] = np.where(kept, shown, hidden[name])
        told = ("perturb", perf_counter() - began)
        run = self._compiled.run(("forward",), forward, rows, told=told)
        return Scores(run[SCORE], run[PROBABILITY])

    def covered(self, x: Array, baseline: Array, windows: Array) -> Covered | None:
        """Whole rows are run."""
        del x, baseline, windows
        return None

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into slices of bounded time."""
        return self._compiled.slices(n)

    def _cut(self, x: Array) -> Iterator[Array]:
        """The part [n, *shape] of each input."""
        start = 0
        for _, shape in self._shapes.values():
            stop = start + math.prod(shape)
            yield x[:, start:stop].reshape(len(x), *shape)
            start = stop

    def _apart(self, x: Array) -> dict[str, Array]:
        """The inputs by name."""
        parts = zip(self._shapes.items(), self._cut(x), strict=True)
        return {name: part.astype(dtype) for (name, (dtype, _)), part in parts}

    def _row(self, x: Array) -> dict[str, Array]:
        """One row's inputs, as programs call them that make points of it."""
        return {nth(ROW, at): array for at, array in enumerate(self._apart(x).values())}

    def _values(self, x: Array) -> Array:
        """The explained values of one row end to end, float32."""
        values = self._apart(x)
        if ids := {e.input: values[e.input] for e in self._ends if e.width is not None}:
            values |= self._compiled.run(("embedding",), embedding, ids)
        return self._flat([values[end.value] for end in self._ends])

    def _of_values(self, name: str, values: Array) -> dict[str, Array]:
        """Explained values by the names that programs give them."""
        found, start = {}, 0
        for position, part in enumerate(self._parts):
            stop = start + math.prod(part.value_shape)
            piece = values[:, start:stop].reshape(len(values), *part.value_shape)
            found[nth(name, position)] = np.ascontiguousarray(piece, dtype=np.float32)
            start = stop
        return found

    def _together(self, run: Mapping[str, Array], name: str) -> Array:
        """What a program answers for each input, end to end."""
        return self._flat([run[nth(name, position)] for position in range(len(self._ends))])

    @staticmethod
    def _flat(arrays: Sequence[Array]) -> Array:
        return np.concatenate([a.reshape(len(a), -1).astype(np.float32) for a in arrays], axis=1)


def _part(end: End, shape: tuple[int, ...], *, shown: bool) -> Part:
    value_shape = shape if end.width is None else (*shape, end.width)
    return Part(end.input, end.geometry, shape, value_shape, shown, end.layers)
