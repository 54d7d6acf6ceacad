"""A mutable ONNX graph under construction.

Invariant: every value has one producer, and the type of each value (as far as it can be inferred)
is known as soon as the node that writes it is appended, so that rules can nest.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Self

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper

from candor.autodiff.assemble import built, declared, fill, frame_of
from candor.autodiff.order import names_in, operands, rename, topological
from candor.autodiff.program import Program, chosen, separated
from candor.autodiff.reshaping import types_made
from candor.autodiff.sizes import Sizes, sizes_of
from candor.autodiff.values import Shape, held_by, infer, merge, shape_of_type, tensor_type
from candor.errors import InvalidModel

__all__ = ["Graph"]


class Graph:
    """An ONNX graph that can be read, appended to, rewired and finished into a model.

    Nodes are private copies; initialisers are shared with the model they came from (or given
    apart from it) and never written to.
    """

    def __init__(
        self, model: ModelProto, initializers: Mapping[str, TensorProto] | None = None
    ) -> None:
        source = model.graph
        self._frame = frame_of(model)
        self._nodes: list[NodeProto] = []
        self._producers: dict[str, NodeProto] = {}
        self._consumers: dict[str, list[NodeProto]] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._sizes: dict[str, Sizes | None] = {}
        self._initializers = dict(initializers or {t.name: t for t in source.initializer})
        self._inputs = {v.name: v.type for v in source.input if v.name not in self._initializers}
        self._outputs = [value.name for value in source.output]
        self._names = {name for node in source.node for name in names_in(node)}
        self._names |= {*self._inputs, *self._initializers}
        self._types: dict[str, TypeProto] = dict(self._inputs)
        self._types |= {v.name: v.type for v in (*source.value_info, *source.output)}
        for name, tensor in self._initializers.items():
            self._types[name] = tensor_type(tensor.data_type, tuple(tensor.dims))
        for node in source.node:
            twin = NodeProto()
            twin.CopyFrom(node)
            self._index(twin)
            if not self._types.keys() >= set(twin.output):
                self.infer(twin)

    def copy(self) -> Self:
        """Return an independent graph that shares only the initialisers."""
        twin = frame_of(self._frame)
        fill(twin.graph, self._nodes, (), self._inputs, self._outputs, self._types)
        twin.graph.value_info.extend(declared(self._types))
        return type(self)(twin, self._initializers)

    def blank(self, name: str, constants: Sequence[str] = ()) -> Self:
        """Return a graph for the same operator sets that holds only some of the initialisers."""
        kept = {value: self._initializers[value] for value in constants}
        return type(self)(frame_of(self._frame, name), kept)

    # Reading

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the graph's inputs; initialisers are not among them."""
        return tuple(self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the declared outputs, in order."""
        return tuple(self._outputs)

    @property
    def nodes(self) -> list[NodeProto]:
        """The nodes, each after the producers of what it reads."""
        return topological(self._nodes, {*self._inputs, *self._initializers})

    @property
    def opset(self) -> int:
        """The version of the default operator set."""
        return next(o.version for o in self._frame.opset_import if o.domain in ("", "ai.onnx"))

    def shape(self, value: str) -> Shape | None:
        """Return the shape: an int or a symbol per axis, None where unknown; None without rank."""
        return shape_of_type(self._types.get(value))

    def rank(self, value: str) -> int | None:
        """Return the number of axes, or None if it is unknown."""
        return None if (shape := self.shape(value)) is None else len(shape)

    def dtype(self, value: str) -> int:
        """Return the element type as a TensorProto enum; UNDEFINED (0) if it is unknown."""
        return self._types[value].tensor_type.elem_type if value in self._types else 0

    def known(self, value: str) -> bool:
        """Tell whether the graph has a value of this name."""
        return value in self._inputs or value in self._initializers or value in self._producers

    def producer(self, value: str) -> NodeProto | None:
        """Return the node that writes the value; None for inputs and initialisers."""
        return self._producers.get(value)

    def consumers(self, value: str) -> list[NodeProto]:
        """Return the nodes that read the value, directly or from within a subgraph."""
        return list(self._consumers.get(value, ()))

    def constant(self, value: str) -> np.ndarray | None:
        """Return the value as a read-only array if it is an initialiser or a Constant node."""
        if value not in self._arrays:
            tensor = self._initializers.get(value)
            if tensor is None and (node := self.producer(value)) is not None:
                tensor = held_by(node) if node.op_type == "Constant" else None
            if tensor is None:
                return None
            array = numpy_helper.to_array(tensor)
            array.flags.writeable = False
            self._arrays[value] = array
        return self._arrays[value]

    def sizes(self, value: str) -> Sizes | None:
        """Return what is known of the entries of a vector of integers; None if nothing is."""
        if value not in self._sizes:
            self._sizes[value] = sizes_of(self, value)
        return self._sizes[value]

    # Writing

    def fresh(self, hint: str) -> str:
        """Reserve a name that no value or node has."""
        tries = (f"{hint}_{n}" if n else hint for n in count())
        name = next(name for name in tries if name not in self._names)
        self._names.add(name)
        return name

    def append(self, node: NodeProto) -> None:
        """Add a node and infer the types of its outputs."""
        self._index(node)
        self.infer(node)

    def infer(self, node: NodeProto) -> None:
        """Learn what can be of the types of a node's outputs from those of its inputs."""
        self._learn(infer(node, self._types, self.constant, list(self._frame.opset_import)))
        self._learn(types_made(self, node))

    def declare(self, value: str, like: str) -> None:
        """State that a value has the type and shape of another, where inference knew less."""
        self._learn({value: self._types[like]} if like in self._types else {})

    def add_input(self, name: str, dtype: int, shape: Shape) -> str:
        """Declare a further input of the graph.

        Raises:
            InvalidModel: if the name is taken.
        """
        if name in self._names:
            raise InvalidModel(f"the graph has a value '{name}' already")
        self._names.add(name)
        self._inputs[name] = self._types[name] = tensor_type(dtype, shape)
        return name

    def add_initializer(self, array: np.ndarray, hint: str) -> str:
        """Store a constant array and return the name of its value."""
        name = self.fresh(hint)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        tensor.dims[:] = array.shape  # ascontiguousarray gives a scalar an axis
        self._initializers[name] = tensor
        self._types[name] = tensor_type(tensor.data_type, array.shape)
        return name

    def add_output(self, value: str, name: str | None = None) -> str:
        """Declare an output, through an Identity if it is to have another name."""
        if name is not None and name != value:
            if name in self._names:
                raise InvalidModel(f"the graph has a value '{name}' already")
            self._names.add(name)
            self.append(helper.make_node("Identity", [value], [name], name=name))
        output = value if name is None else name
        if output not in self._outputs:
            self._outputs.append(output)
        return output

    def name_output(self, node: NodeProto, index: int) -> str:
        """Return the name of a node's output, giving it one if the model left it out."""
        while len(node.output) <= index:
            node.output.append("")
        if not node.output[index]:
            node.output[index] = self.fresh(f"{node.name or node.op_type}/output_{index}")
            self._producers[node.output[index]] = node
            self.infer(node)
        return node.output[index]

    def set_operand(self, node: NodeProto, index: int, value: str) -> None:
        """Make one node read another value in one place."""
        old, node.input[index] = node.input[index], value
        if old not in operands(node):
            self._consumers[old].remove(node)
        self._read(node, value)

    def replace_uses(self, old: str, new: str) -> None:
        """Make every node that reads `old` read `new`; outputs and producers stay."""
        for node in self._consumers.pop(old, []):
            rename(node, old, new)
            self._read(node, new)

    def finish(self, outputs: Sequence[str]) -> ModelProto:
        """Build a checked model that computes just these values, of no more than they need.

        Raises:
            NotFound: if an output is not a value of the graph.
            InvalidModel: if the result breaks ONNX's rules.
        """
        tensors, types = self._initializers, self._types
        return built(self._frame, self.nodes, tensors, self._inputs, outputs, types)

    def apart(self, outputs: Sequence[str]) -> Program:
        """As `finish`, but large weights are not copied into the model."""
        light, large = separated(self._initializers)
        model = built(self._frame, self.nodes, light, self._inputs, outputs, self._types)
        return Program(model, chosen(model, large))

    def body(self, outputs: Sequence[str]) -> GraphProto:
        """Build the graph of an If or Scan body, which may read values of the graph around it."""
        built = GraphProto(name=self._frame.graph.name)
        fill(built, self._nodes, self._initializers.values(), self._inputs, outputs, self._types)
        return built

    def _learn(self, types: Mapping[str, TypeProto]) -> None:
        for name, known in types.items():
            self._types[name] = merge(self._types.get(name), known)
            self._sizes.pop(name, None)

    def _index(self, node: NodeProto) -> None:
        self._nodes.append(node)
        self._producers |= {name: node for name in node.output if name}
        for name in dict.fromkeys(operands(node)):
            self._read(node, name)

    def _read(self, node: NodeProto, value: str) -> None:
        readers = self._consumers.setdefault(value, [])
        if not any(reader is node for reader in readers):
            readers.append(node)
