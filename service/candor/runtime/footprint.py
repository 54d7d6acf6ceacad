"""How much memory a session takes, estimated from its graph and from what it was run on.

Two things are counted: the weights, once, as ONNX Runtime copies them into the session (sessions
share none); and the arena, which keeps the most that a run ever held at one time. The latter is
read off the shapes: every value lives from the node that writes it to the last one that reads it.
ONNX Runtime fuses nodes and writes some results over their operands, which makes it less; it pads
channels and keeps rearranged weights, which makes it more.

Resident memory is not measured: what one session added to it cannot be told from what other threads
allocated in the same moment, and malloc gives memory back late.
"""

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from onnx import GraphProto, ModelProto, TypeProto, helper
from onnx.shape_inference import InferenceError, infer_shapes

from candor.autodiff.order import operands
from candor.errors import TooLarge
from candor.result import Array

__all__ = ["Footprint"]

_SESSION: Final = 200_000
_NODE: Final = 5_000
"""Of a session without weights, and of each of its nodes: measured on small models."""
_FIRST: Final = 2**20
"""The arena's first piece; the others double, so that the whole is about a power of two."""
_SMALL: Final = 256

_Shape = tuple[int | str, ...]


class _Value(NamedTuple):
    """A value's life, by positions of nodes, and what it takes."""

    born: int
    dies: int
    item_bytes: int
    shape: _Shape


class Footprint:
    """The memory of one session; grows with the largest run."""

    def __init__(self, program: ModelProto, program_bytes: int) -> None:
        """Read the graph.

        Args:
            program: that the session runs.
            program_bytes: of it, weights included.
        """
        graph = program.graph
        self._fixed = _SESSION + _NODE * len(graph.node) + program_bytes
        self._inputs = {value.name: _shape(value.type) for value in graph.input}
        self._values = tuple(_values(graph, _types(program)))
        self._elements = -1
        self._largest: Mapping[str, tuple[int, ...]] = {}
        self.size_bytes = self._fixed + _FIRST

    def check(self, feeds: Mapping[str, Array], most: int) -> None:
        """See that a run holds no more than it may: all memory would end the process, and others.

        Raises:
            TooLarge: it would hold more.
        """
        before = self._largest
        if all(
            name in before and all(map(operator.le, array.shape, before[name]))
            for name, array in feeds.items()
        ):
            return  # no more than one did before
        held = self._most_at_once(feeds)
        if held > most:
            shapes = ", ".join(f"'{name}' {list(array.shape)}" for name, array in feeds.items())
            raise TooLarge(
                f"a run on {shapes} would hold some {held} bytes at one time, over max_run_bytes, "
                f"{most}; send fewer rows or shorter ones"
            )

    def ran(self, feeds: Mapping[str, Array]) -> int:
        """The bytes after a run on these feeds."""
        elements = sum(array.size for array in feeds.values())
        if elements > self._elements:
            self._elements = elements
            self._largest = {name: array.shape for name, array in feeds.items()}
            held = self._most_at_once(feeds)
            arena = max(_FIRST, 1 << (held - 1).bit_length()) if held else _FIRST
            self.size_bytes = max(self.size_bytes, self._fixed + arena)
        return self.size_bytes

    def _most_at_once(self, feeds: Mapping[str, Array]) -> int:
        sizes: dict[str, int] = {}
        for name, array in feeds.items():
            sizes |= {
                symbol: size
                for symbol, size in zip(self._inputs.get(name, ()), array.shape, strict=False)
                if isinstance(symbol, str)
            }
        rows = _rows(feeds)
        changes: dict[int, int] = {}
        for value in self._values:
            # An axis that nothing is known of: the first counts rows, as a rule; others, one.
            axes = (
                size if isinstance(size, int) else sizes.get(size, 1 if axis else rows)
                for axis, size in enumerate(value.shape)
            )
            size_bytes = value.item_bytes * math.prod(axes)
            changes[value.born] = changes.get(value.born, 0) + size_bytes
            changes[value.dies + 1] = changes.get(value.dies + 1, 0) - size_bytes
        held = most = 0
        for position in sorted(changes):
            held += changes[position]
            most = max(most, held)
        return most


def _rows(feeds: Mapping[str, Array]) -> int:
    """How many rows a run has; a flat list of places beside them says nothing of that."""
    firsts = [(array.ndim > 1, array.shape[0]) for array in feeds.values() if array.ndim]
    return max(firsts, default=(False, 1))[1]


def _values(graph: GraphProto, types: Mapping[str, TypeProto]) -> Iterator[_Value]:
    """What nodes write and others read; inputs and outputs are the caller's."""
    born = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    dies = {name: at for at, node in enumerate(graph.node) for name in operands(node)}
    for name, at in born.items():
        if name in types and name in dies:
            item = helper.tensor_dtype_to_np_dtype(types[name].tensor_type.elem_type or 1)
            yield _Value(at, dies[name], item.itemsize, _shape(types[name]))


def _types(program: ModelProto) -> dict[str, TypeProto]:
    """The types of the values between the nodes, inferred without copying the weights."""
    bare = ModelProto(ir_version=program.ir_version, opset_import=program.opset_import)
    graph, source = bare.graph, program.graph
    graph.name = source.name or "graph"
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    given = {value.name for value in source.input}
    for tensor in source.initializer:
        if math.prod(tensor.dims) <= _SMALL:  # shapes and axes, whose values matter
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            type_ = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            graph.input.append(helper.make_value_info(tensor.name, type_))
    try:
        found = infer_shapes(bare, data_prop=True)
    except InferenceError:  # ONNX Runtime takes more than ONNX's own inference does
        return {}
    return {value.name: value.type for value in found.graph.value_info}


def _shape(type_: TypeProto) -> _Shape:
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param
        for axis in type_.tensor_type.shape.dim
    )
