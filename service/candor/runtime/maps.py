"""Probabilities that scikit-learn's exporter takes apart: as dictionaries, or as a tensor a class.

No protocol can send a list of dictionaries, so a file's ZipMap is taken off: its output, under the
same name, is then the tensor that it was made of, one column per class. Where each class has an
output of its own (`zipmap="columns"`), these stay, and the tensor that they are cut from is an
output too: it is what is explained.
"""

from collections.abc import Mapping

import onnx
from onnx import NodeProto, TensorProto, helper

__all__ = ["class_tensors"]

_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
_PASSING = frozenset({"Cast", "Identity", "Reshape"})
_EXPORTERS = ("skl2onnx", "OnnxMLTools")
"""Of others, slices of a tensor need not be all of its classes."""


def class_tensors(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Make tensors of a column per class outputs, in place; return the names of the classes.

    The names are those of the last such output; where there is none, those of the classifier that
    names the class in an output of the graph; else ().
    """
    return _take_off_maps(proto) or _add_whole(proto) or _of_classifier(proto)


def _take_off_maps(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Replace outputs made by ZipMap by their tensors."""
    names: tuple[str, ...] = ()
    makers = {node.output[0]: node for node in proto.graph.node if node.op_type == "ZipMap"}
    for output in proto.graph.output:
        node = makers.get(output.name)
        if node is None:
            continue
        names = _classes(node)
        tensor = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [None, len(names)])
        output.CopyFrom(tensor)
        node.CopyFrom(helper.make_node("Identity", list(node.input), [output.name], node.name))
    return names


def _classes(node: NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return tuple(label.decode(errors="replace") for label in attribute.strings)
        if attribute.name in ("classlabels_int64s", "classlabels_ints"):
            return tuple(map(str, attribute.ints))
    return ()


def _of_classifier(proto: onnx.ModelProto) -> tuple[str, ...]:
    """What the classifier calls its classes whose choice is an output of the graph as it is.

    One inside of an ensemble may have numbers of its own for them.
    """
    makers = {node.output[0]: node for node in proto.graph.node if node.output}
    for output in proto.graph.output:
        node = makers.get(output.name)
        for _ in proto.graph.node:  # no longer: a file that is not checked yet may hold a ring
            if node is None or node.op_type not in _PASSING or not node.input:
                break
            node = makers.get(node.input[0])
        if node is not None and node.op_type in _CLASSIFIERS:
            return _classes(node)
    return ()


def _add_whole(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Where outputs are the columns of one tensor, in their order, put it before them."""
    graph = proto.graph
    if proto.producer_name not in _EXPORTERS:
        return ()
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    outputs = list(graph.output)
    found = {output.name: _column(output.name, makers, constants) for output in outputs}
    names = [output.name for output in outputs if found[output.name] is not None]
    columns = [column for column in found.values() if column is not None]
    if len(columns) < 2:
        return ()
    source = columns[0][0]
    if columns != [(source, at) for at in range(len(columns))] or source in found:
        return ()
    first = next(at for at, output in enumerate(outputs) if output.name == names[0])
    kind = outputs[first].type.tensor_type.elem_type
    whole = helper.make_tensor_value_info(source, kind, [None, len(names)])
    del graph.output[:]
    graph.output.extend([*outputs[:first], whole, *outputs[first:]])
    return _unmarked(names)


def _column(
    name: str, makers: Mapping[str, NodeProto], constants: Mapping[str, TensorProto]
) -> tuple[str, int] | None:
    """Of an output that is `Reshape(Slice(source))` of one column: the source, and which one."""
    flat = makers.get(name)
    if flat is None or flat.op_type != "Reshape" or not flat.input:
        return None
    part = makers.get(flat.input[0])
    if part is None or part.op_type != "Slice" or len(part.input) not in (4, 5):
        return None
    start, end, axis, *step = (_number(constants.get(operand)) for operand in part.input[1:])
    if start is None or (end, axis, step or [1]) != (start + 1, 1, [1]):
        return None
    return part.input[0], start


def _number(tensor: TensorProto | None) -> int | None:
    """What a tensor of one whole number holds; None for any other."""
    if tensor is None or tensor.data_type != TensorProto.INT64:
        return None
    if len(tensor.int64_data) == 1:
        return int(tensor.int64_data[0])
    raw = tensor.raw_data
    return int.from_bytes(raw, "little", signed=True) if len(raw) == 8 else None


def _unmarked(names: list[str]) -> tuple[str, ...]:
    """The exporter marks what a class was: `i` before numbers, `s` before words."""
    if all(name.startswith("i") and name[1:].lstrip("-").isdigit() for name in names):
        return tuple(name[1:] for name in names)
    if all(name.startswith("s") and len(name) > 1 for name in names):
        return tuple(name[1:] for name in names)
    return tuple(names)
