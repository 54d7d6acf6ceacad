"""Which requests may share a run: how many rows are worth it, and whether rows stay their own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Protocol, TypeAlias

import numpy as np

from candor.errors import CandorError
from candor.result import Array, Images, Payload, Tensors
from candor.runtime.batches import CACHED
from candor.runtime.manifest import Manifest
from candor.runtime.preprocess import Preprocessing
from candor.runtime.specs import TensorSpec

__all__ = [
    "Batching",
    "Joining",
    "gain",
    "max_small_rows",
    "pair_of",
    "rows_are_independent",
    "rows_come_first",
]

Rows: TypeAlias = Mapping[str, Array]
Run: TypeAlias = Callable[[Rows], Mapping[str, Array]]

_TOLERANCE: Final = 1e-4
"""Of the largest value: runs of other sizes add up in another order."""

_WORTH: Final = 1.4
"""What two rows together have to gain on a CPU. With less, sharing a run only takes work from the
other slots, and makes the first of those who share it wait for the last (docs/scheduling.md)."""
_TURNS: Final = 3


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests are joined.

    Attributes:
        max_rows: of a run that several requests share; 1: none is shared.
        max_queue_delay_s: how long a request may wait for others, though it could run.
    """

    max_rows: int = 32
    max_queue_delay_s: float = 0.0


class Predicts(Protocol):
    """A session, or what stands for one."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """As ONNX Runtime sees them."""
        ...

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """As ONNX Runtime sees them."""
        ...

    @property
    def provider(self) -> str:
        """`cuda`, `cpu`, ..."""
        ...

    def run(self, feeds: Rows, outputs: Sequence[str] = ()) -> dict[str, Array]:
        """Run once."""
        ...


class Joining:
    """What one model's requests may share; safe to use from several threads.

    Attributes:
        most_rows: of a run that several requests share, whatever they are; 1: none is shared.
        delay_s: how long a request may wait for others, though it could run.
    """

    def __init__(
        self,
        session: Predicts,
        manifest: Manifest,
        policy: Batching,
        preprocessing: Preprocessing,
    ) -> None:
        """Bring together the model's graph, its manifest's word and the house's.

        Args:
            session: that predicts.
            manifest: of the model.
            policy: for what the manifest leaves open.
            preprocessing: of the model.
        """
        section = manifest.batching
        self._run = session.run
        self._preprocessing = preprocessing
        # What the manifest says is the operator's word, whatever would be worth it.
        self._weighs = section.max_batch_size is None and session.provider == "cpu"
        self.most_rows = section.max_batch_size or policy.max_rows
        if not rows_come_first(session.inputs, session.outputs):
            self.most_rows = 1
        delay_ms = section.max_queue_delay_ms
        self.delay_s = policy.max_queue_delay_s if delay_ms is None else delay_ms / 1000
        self._alike: bool | None = None
        self._worth = True

    @property
    def tried(self) -> bool:
        """Whether `alike` has been found out."""
        return self._alike is not None

    def max_rows(self, payload: Payload) -> int:
        """Rows of a run that several requests like this one may share; 1: each runs alone."""
        return 1 if self._alike is False or not self._worth else self._most(payload)

    @property
    def most_brief_rows(self) -> int:
        """Of a run that brief requests share, which wait for each other anyhow.

        1 until rows are known to be alike.
        """
        return self.most_rows if self._alike else 1

    def alike(self, tensors: Mapping[str, Array]) -> bool:
        """Whether rows are answered alike whatever runs with them.

        Found out once, by runs on such tensors, and with it whether it is worth it; called off the
        event loop.
        """
        if self._alike is None:
            one, other = pair_of(tensors)
            alike = rows_are_independent(self._run, one, other)
            self._worth = not alike or not self._weighs or gain(self._run, one, other) >= _WORTH
            self._alike = alike
        return self._alike

    def _most(self, payload: Payload) -> int:
        small = max_small_rows(payload, self._preprocessing) if self._weighs else self.most_rows
        return min(small, self.most_rows)


def rows_come_first(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether the first axis of all inputs and outputs counts the rows, and no other axis does."""
    specs = (*inputs, *outputs)
    if not all(spec.shape[:1] == (-1,) for spec in specs):
        return False
    symbols = {spec.symbols[0] if spec.symbols else "" for spec in inputs}
    elsewhere = {symbol for spec in specs for symbol in spec.symbols[1:] if symbol}
    return len(symbols) == 1 and symbols.isdisjoint(elsewhere)


def max_small_rows(payload: Payload, preprocessing: Preprocessing) -> int:
    """How many rows make up one large picture, at and beyond which nothing was ever gained."""
    return max(1, CACHED // max(1, _row_values(payload, preprocessing)))


def pair_of(tensors: Rows) -> tuple[dict[str, Array], dict[str, Array]]:
    """The first row of a request, and another one made of it."""
    one = {name: array[:1] for name, array in tensors.items()}
    return one, {name: _unlike(array) for name, array in one.items()}


def rows_are_independent(run: Run, one: Rows, other: Rows) -> bool:
    """Try whether a model answers two rows together as it answers each alone.

    A graph may fix nothing about its rows and still mix them: quantised while it runs, by one range
    for all rows, or with the rows' axis taken for time.
    """
    try:
        alone, beside, both = run(one), run(other), run(_together(one, other))
    except CandorError:
        return False
    return all(
        alone[name].ndim > 0
        and beside[name].ndim > 0
        and _alike(np.concatenate([alone[name], beside[name]]), found)
        for name, found in both.items()
    )


def gain(run: Run, one: Rows, other: Rows) -> float:
    """How many times longer two runs of a row take than one run of two."""
    both = _together(one, other)
    alone = [_seconds(run, one) + _seconds(run, other) for _ in range(_TURNS)]
    return min(alone) / min(_seconds(run, both) for _ in range(_TURNS))


def _seconds(run: Run, tensors: Rows) -> float:
    began = perf_counter()
    run(tensors)
    return perf_counter() - began


def _together(one: Rows, other: Rows) -> dict[str, Array]:
    return {name: np.concatenate([one[name], other[name]]) for name in one}


def _row_values(payload: Payload, preprocessing: Preprocessing) -> int:
    match payload:
        case Tensors():
            sizes = (math.prod(array.shape[1:]) for array in payload.by_name.values())
            return max(sizes, default=1)
        case Images() if preprocessing.images is not None:
            channels = 1 if preprocessing.images.section.channels == "gray" else 3
            return math.prod(preprocessing.images.size) * channels
        case _:
            return 1


def _unlike(row: Array) -> Array:
    """A row of the same kind: every number one place on, floats also of another size and sign."""
    moved: Array = np.roll(row, 1, axis=-1)
    return (moved * -3 + 1).astype(row.dtype) if row.dtype.kind == "f" else moved


def _alike(expected: Array, found: Array) -> bool:
    if expected.shape != found.shape:
        return False
    if expected.dtype.kind != "f":
        return bool(np.array_equal(expected, found))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(found, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True))
