"""Outputs that are lists of dictionaries, as scikit-learn's exporter writes probabilities.

No protocol can send such an output, so a file's ZipMap is taken off: its output, under the same
name, is then the tensor that it was made of, one column per class.
"""

import onnx
from onnx import helper

__all__ = ["take_off_maps"]


def take_off_maps(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Replace outputs made by ZipMap by their tensors, in place; return the names of the classes.

    The names are those of the last such output; () where there is none.
    """
    names: tuple[str, ...] = ()
    makers = {node.output[0]: node for node in proto.graph.node if node.op_type == "ZipMap"}
    for output in proto.graph.output:
        node = makers.get(output.name)
        if node is None:
            continue
        names = _classes(node)
        tensor = helper.make_tensor_value_info(
            output.name, onnx.TensorProto.FLOAT, [None, len(names)]
        )
        output.CopyFrom(tensor)
        node.CopyFrom(helper.make_node("Identity", list(node.input), [output.name], node.name))
    return names


def _classes(node: onnx.NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return tuple(label.decode(errors="replace") for label in attribute.strings)
        if attribute.name == "classlabels_int64s":
            return tuple(map(str, attribute.ints))
    return ()
