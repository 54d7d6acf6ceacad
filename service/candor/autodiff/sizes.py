"""What is known while compiling of extents, and of values that hold extents.

An extent is a number, a product such as "4*batch" of a number and free extents of the inputs, or
None. A batch that is folded into windows or heads and out again stays the same batch that way.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff.values import Shape

__all__ = ["Extent", "Reader", "Sizes", "over", "product", "sizes_of", "times"]

Extent = int | str | None
Sizes = tuple[Extent, ...]
"""The entries of a vector of integers or booleans, or the one of a scalar."""

_LONGEST: Final = 64  # entries; a longer vector holds no shape

_INTEGRAL: Final = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})


class Reader(Protocol):
    """What is asked of a graph here."""

    def shape(self, value: str) -> Shape | None:
        """Return a value's shape."""

    def dtype(self, value: str) -> int:
        """Return a value's element type."""

    def constant(self, value: str) -> np.ndarray | None:
        """Return a value that is known."""

    def producer(self, value: str) -> NodeProto | None:
        """Return the node that writes a value."""

    def sizes(self, value: str) -> Sizes | None:
        """Return what is known of the entries of a value; None if not even their number is."""


# Products


def times(one: Extent, two: Extent) -> Extent:
    """Multiply two extents."""
    if one is None or two is None:
        return 0 if 0 in (one, two) else None
    (a, atoms_a), (b, atoms_b) = _factors(one), _factors(two)
    return _product(a * b, atoms_a + atoms_b)


def product(extents: Sequence[Extent]) -> Extent:
    """Multiply all of some extents."""
    total: Extent = 1
    for extent in extents:
        total = times(total, extent)
    return total


def over(one: Extent, two: Extent) -> Extent:
    """Divide an extent by another that it is a multiple of; None where that is not certain."""
    if one is None or two is None or two == 0:
        return None
    (a, atoms_a), (b, atoms_b) = _factors(one), _factors(two)
    if a % b or atoms_b - atoms_a:
        return None
    return _product(a // b, atoms_a - atoms_b)


def _factors(extent: int | str) -> tuple[int, Counter[str]]:
    if isinstance(extent, int):
        return extent, Counter()
    parts = extent.split("*") if _PLAIN.fullmatch(extent) else [extent]
    numbers = [int(part) for part in parts if part.isdigit()]
    return math.prod(numbers), Counter(part for part in parts if not part.isdigit())


_PLAIN: Final = re.compile(r"[\w.]+(\*[\w.]+)*")


def _product(number: int, atoms: Counter[str]) -> int | str:
    if not number or not atoms:
        return number
    names = sorted(atoms.elements())
    return "*".join(names if number == 1 else [str(number), *names])


# Values that hold extents


def sizes_of(graph: Reader, value: str) -> Sizes | None:
    """Return what is known of the entries of a vector or scalar of integers."""
    array = graph.constant(value)
    if array is not None:
        fits = array.ndim < 2 and array.size <= _LONGEST and array.dtype.kind in "ib"
        return tuple(int(entry) for entry in array.reshape(-1)) if fits else None
    node = graph.producer(value)
    return None if node is None else _made(graph, node)


def _made(graph: Reader, node: NodeProto) -> Sizes | None:
    make = _MAKERS.get(node.op_type) if not node.domain else None
    if make is None or graph.dtype(node.output[0]) not in _INTEGRAL:
        return None
    made = make(graph, node)
    return made if made is not None and len(made) <= _LONGEST else None


def _of_shape(graph: Reader, node: NodeProto) -> Sizes | None:
    shape = graph.shape(node.input[0])
    bounds = {a.name: int(a.i) for a in node.attribute}
    return None if shape is None else shape[bounds.get("start", 0) : bounds.get("end", len(shape))]


def _of_size(graph: Reader, node: NodeProto) -> Sizes | None:
    shape = graph.shape(node.input[0])
    return None if shape is None else (product(shape),)


def _of_product(graph: Reader, node: NodeProto) -> Sizes | None:
    sizes, result = graph.sizes(node.input[0]), graph.shape(node.output[0])
    whole = result is not None and math.prod(d if isinstance(d, int) else 2 for d in result) == 1
    return (product(sizes),) if sizes is not None and whole else None


def _picked(graph: Reader, node: NodeProto) -> Sizes | None:
    sizes, picks = graph.sizes(node.input[0]), graph.constant(node.input[1])
    if sizes is None or picks is None or picks.ndim > 1 or graph.shape(node.input[0]) == ():
        return None
    if any(not -len(sizes) <= index < len(sizes) for index in picks.reshape(-1)):
        return None
    return tuple(sizes[int(index)] for index in picks.reshape(-1))


def _sliced(graph: Reader, node: NodeProto) -> Sizes | None:
    sizes = graph.sizes(node.input[0])
    bounds = [graph.constant(name) for name in (*node.input[1:3], *node.input[4:5]) if name]
    if sizes is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    return sizes[slice(*(int(bound.reshape(())) for bound in bounds if bound is not None))]


def _joined(graph: Reader, node: NodeProto) -> Sizes | None:
    parts = [graph.sizes(name) for name in node.input]
    return tuple(entry for part in parts if part for entry in part) if None not in parts else None


def _same(graph: Reader, node: NodeProto) -> Sizes | None:
    sizes, result = graph.sizes(node.input[0]), graph.shape(node.output[0])
    return sizes if result is not None and len(result) < 2 else None


def _filled(graph: Reader, node: NodeProto) -> Sizes | None:
    result = graph.shape(node.output[0])
    if result is None or len(result) > 1 or not all(isinstance(d, int) for d in result):
        return None
    fill = next((a.t for a in node.attribute if a.name == "value"), None)
    held = 0 if fill is None else next(iter([*fill.int64_data, *fill.int32_data]), None)
    if fill is not None and fill.HasField("raw_data"):
        width = 8 if fill.data_type == TensorProto.INT64 else 4
        held = int.from_bytes(fill.raw_data[:width], "little", signed=True)
    count = result[0] if result else 1
    return (held,) * count if isinstance(count, int) and count <= _LONGEST else None


def _each(combine: Callable[..., Extent]) -> Callable[[Reader, NodeProto], Sizes | None]:
    def made(graph: Reader, node: NodeProto) -> Sizes | None:
        parts = [graph.sizes(name) for name in node.input]
        if any(part is None for part in parts):
            return None
        known = [part for part in parts if part is not None]
        width = max(map(len, known))
        if any(len(part) not in (1, width) for part in known):
            return None
        wide = [part * width if len(part) == 1 else part for part in known]
        return tuple(combine(*entries) for entries in zip(*wide, strict=True))

    return made


def _sum(one: Extent, two: Extent) -> Extent:
    if isinstance(one, int) and isinstance(two, int):
        return one + two
    return two if one == 0 else one if two == 0 else None


def _difference(one: Extent, two: Extent) -> Extent:
    if isinstance(one, int) and isinstance(two, int):
        return one - two
    return one if two == 0 else 0 if one == two and one is not None else None


def _quotient(one: Extent, two: Extent) -> Extent:
    if isinstance(one, int) and isinstance(two, int) and two:
        return abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)
    return over(one, two)


def _equal(one: Extent, two: Extent) -> Extent:
    if one is None or two is None:
        return None
    if one == two or (isinstance(one, int) and isinstance(two, int)):
        return int(one == two)
    numbers = [extent for extent in (one, two) if isinstance(extent, int)]
    return 0 if numbers and numbers[0] < 0 else None  # no extent is negative


def _chosen(condition: Extent, one: Extent, two: Extent) -> Extent:
    if condition is None or isinstance(condition, str):
        return one if one == two else None
    return one if condition else two


_MAKERS: Final[dict[str, Callable[[Reader, NodeProto], Sizes | None]]] = {
    "Add": _each(_sum),
    "Cast": _same,
    "Concat": _joined,
    "ConstantOfShape": _filled,
    "Div": _each(_quotient),
    "Equal": _each(_equal),
    "Gather": _picked,
    "Identity": _same,
    "Mul": _each(times),
    "ReduceProd": _of_product,
    "Reshape": _same,
    "Shape": _of_shape,
    "Size": _of_size,
    "Slice": _sliced,
    "Squeeze": _same,
    "Sub": _each(_difference),
    "Unsqueeze": _same,
    "Where": _each(_chosen),
}
