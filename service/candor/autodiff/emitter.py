"""Appending nodes to a graph in the spelling of the formulas: `op.Mul(a, op.Sub(1.0, b))`.

Invariant: the same operator on the same operands with the same attributes is one node.
"""

from collections.abc import Sequence
from typing import Protocol, overload

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from candor.autodiff.graph import Graph
from candor.autodiff.values import FLOATS

__all__ = ["Attribute", "Emitter", "Operand"]

Operand = str | np.ndarray | np.generic | float | Sequence[int] | None
Attribute = int | float | str | Sequence[int] | Sequence[float] | TensorProto | GraphProto | None

_SMALL = 4096  # constants up to this many elements are looked up before they are stored again


class Operator(Protocol):
    """What `op.Name` is: a call that appends a node and names what it writes."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # no ONNX operator has an attribute `outputs`
        self, *operands: Operand, outputs: int, **attributes: Attribute
    ) -> tuple[str, ...]: ...
    @overload
    def __call__(self, *operands: Operand, **attributes: Attribute) -> str: ...


class Emitter:
    """Appends nodes under fresh names `<prefix>/<operator>_<count>`.

    Operands are value names, numpy arrays, None for an optional one left out, sequences of ints
    (int64 vectors: shapes, axes), or Python numbers, which take the type of the float operand.
    Attributes that are None are left out.
    """

    def __init__(self, graph: Graph, prefix: str) -> None:
        self.graph = graph
        self._prefix = prefix
        self._seen: dict[bytes, tuple[str, ...]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def __getattr__(self, op_type: str) -> Operator:
        """Return the call that appends a node of this type."""
        if not op_type[:1].isupper():
            raise AttributeError(op_type)

        def call(
            *operands: Operand, outputs: int | None = None, **attributes: Attribute
        ) -> str | tuple[str, ...]:
            written = self.emit(op_type, operands, attributes, outputs or 1)
            return written[0] if outputs is None else written

        return call  # type: ignore[return-value]  # the overloads say which of the two

    def emit(
        self,
        op_type: str,
        operands: Sequence[Operand],
        attributes: dict[str, Attribute],
        outputs: int = 1,
    ) -> tuple[str, ...]:
        """Append a node, or find the one that computes the same already."""
        if op_type == "Pad" and len(operands) > 3:
            operands = self._padded_everywhere(*operands)
        dtype = _number_type(self.graph, operands)
        node = helper.make_node(op_type, [self._value(operand, dtype) for operand in operands], [])
        node.attribute.extend(
            made
            for name, value in sorted(attributes.items())
            if (made := _attribute(name, value)) is not None
        )
        key = bytes([outputs]) + node.SerializeToString(deterministic=True)
        if key not in self._seen:
            self._seen[key] = self._append(node, outputs)
        return self._seen[key]

    def _padded_everywhere(
        self, value: Operand, margins: Operand, fill: Operand, axes: Operand
    ) -> Sequence[Operand]:
        """Spell the operands of a Pad of some axes for all of them.

        ONNX Runtime 1.31 moves a Transpose past a Pad without a look at which axes that pads.
        """
        rank = self.graph.rank(value) if isinstance(value, str) else None
        listed = self.graph.constant(axes) if isinstance(axes, str) else axes
        if rank is None or listed is None:
            return value, margins, fill, axes
        places = [int(axis) % rank for axis in np.asarray(listed).reshape(-1)]
        # Entry 2 k of the margins and a zero is that zero, which the other axes get.
        entries = np.full((2, rank), 2 * len(places), np.int64)
        entries[:, places] = np.arange(2 * len(places)).reshape(2, -1)
        known = self.graph.constant(margins) if isinstance(margins, str) else np.asarray(margins)
        if known is not None:
            return value, np.append(known.astype(np.int64), 0)[entries.reshape(-1)], fill
        extended = self.emit("Concat", (margins, [0]), {"axis": 0})
        every = self.emit("Gather", (*extended, entries.reshape(-1)), {"axis": 0})
        return value, *every, fill

    def constant(self, array: np.ndarray) -> str:
        """Return the name of an initialiser that holds the array; small ones are stored once."""
        if array.size > _SMALL:
            return self.graph.add_initializer(array, f"{self._prefix}/constant")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.graph.add_initializer(array, f"{self._prefix}/constant")
        return self._constants[key]

    def _append(self, node: NodeProto, outputs: int) -> tuple[str, ...]:
        node.name = self.graph.fresh(f"{self._prefix}/{node.op_type}")
        more = [self.graph.fresh(f"{node.name}:{index}") for index in range(1, outputs)]
        node.output.extend([node.name, *more])
        self.graph.append(node)
        return tuple(node.output)

    def _value(self, operand: Operand, dtype: int) -> str:
        if operand is None:
            return ""
        if isinstance(operand, str):
            return operand
        if isinstance(operand, np.ndarray | np.generic):
            return self.constant(np.asarray(operand))
        if isinstance(operand, bool | int | float):
            return self.constant(np.asarray(operand, helper.tensor_dtype_to_np_dtype(dtype)))
        return self.constant(np.asarray(operand, np.int64))


def _number_type(graph: Graph, operands: Sequence[Operand]) -> int:
    dtypes = [graph.dtype(value) for value in operands if isinstance(value, str) and value]
    floats = [dtype for dtype in dtypes if dtype in FLOATS]
    return next(iter([*floats, *filter(None, dtypes)]), TensorProto.FLOAT)


def _attribute(name: str, value: Attribute) -> AttributeProto | None:
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str) and not value:
        return helper.make_attribute(name, [], attr_type=AttributeProto.INTS)
    return helper.make_attribute(name, value)
