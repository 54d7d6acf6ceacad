"""An exported graph without what the exporter leaves in it, and with names that people can read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def tidy(model: ModelProto) -> ModelProto:
    """Return the graph without constants as nodes, zero initial states, dead nodes and traces."""
    _lift_constants(model)
    _drop_identities(model)
    _drop_zero_states(model)
    _prune(model)
    _rename(model)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "candor"
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def read_by(op_type: str) -> Callable[[ModelProto], str]:
    """Return what finds the value that the only node of a type reads first."""
    return lambda model: only(model, op_type).input[0]


def written_by(op_type: str) -> Callable[[ModelProto], str]:
    """Return what finds the value that the only node of a type writes first."""
    return lambda model: only(model, op_type).output[0]


def name_value(model: ModelProto, old: str, new: str) -> None:
    """Rename one value everywhere, so that a manifest can refer to it by a plain name."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def only(model: ModelProto, op_type: str) -> NodeProto:
    """Return the single node of this type.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = [node for node in model.graph.node if node.op_type == op_type]
    if len(found) != 1:
        raise ValueError(f"the graph has {len(found)} {op_type} nodes, expected one")
    return found[0]


def _replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _lift_constants(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Constant":
            array = numpy_helper.to_array(node.attribute[0].t)
            model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    _replace_nodes(model, [n for n in model.graph.node if n.op_type != "Constant"])


def _drop_identities(model: ModelProto) -> None:
    same = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Identity"}
    for node in model.graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
    _replace_nodes(model, [n for n in model.graph.node if n.op_type != "Identity"])


def _drop_zero_states(model: ModelProto) -> None:
    """Zeros are what these layers start from anyway; without them the shape arithmetic goes too."""
    zeros = {
        n.output[0]
        for n in model.graph.node
        if n.op_type == "ConstantOfShape" and not np.any(numpy_helper.to_array(n.attribute[0].t))
    }
    for node in model.graph.node:
        if node.op_type in RECURRENT and set(node.input[5:7]) <= zeros:
            del node.input[4:]


def _prune(model: ModelProto) -> None:
    needed = {value.name for value in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            # An optional output that nobody reads (Y_h, Y_c) need not be computed.
            names = [name if name in needed else "" for name in node.output]
            while names[-1] == "":
                names.pop()
            node.output[:] = names
            needed.update(node.input)
            while node.input and node.input[-1] == "":
                node.input.pop()
            kept.append(node)
    _replace_nodes(model, kept[::-1])
    weights = [w for w in model.graph.initializer if w.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)


def _rename(model: ModelProto) -> None:
    ports = {value.name for value in [*model.graph.input, *model.graph.output]} | {""}
    values = [name for node in model.graph.node for name in [*node.input, *node.output]]
    short = {name: _short(name) for name in dict.fromkeys(values)} | _recurrent_weights(model)
    names, taken = {name: name for name in ports}, Counter[str]()
    for name in short:
        if name not in ports:
            taken[short[name]] += 1
            count = taken[short[name]]
            names[name] = short[name] if count == 1 else f"{short[name]}_{count}"
    for node in model.graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        node.name = node.output[0]
    for weight in model.graph.initializer:
        weight.name = names[weight.name]


def _short(name: str) -> str:
    """Turn "/blocks/blocks.3/Relu_1_output_0" into "blocks.3/Relu_1"."""
    short = re.sub(r"_output_0$", "", name.removeprefix("/"))
    short = re.sub(r"\b(\w+)/(?=\1\.)", "", short)
    return re.sub(r"^onnx::(\w+?)_\d+$", r"\1", short)


def _recurrent_weights(model: ModelProto) -> dict[str, str]:
    """Name the weights of a recurrent layer as the ONNX specification does: W, R, B."""
    return {
        name: f"{_short(node.output[0]).rpartition('/')[0]}.{letter}"
        for node in model.graph.node
        if node.op_type in RECURRENT
        for name, letter in zip(node.input[1:4], "WRB", strict=True)
    }
