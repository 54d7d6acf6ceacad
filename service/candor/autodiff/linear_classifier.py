"""Linear classifiers of ai.onnx.ml written as the matrix product and activation that they are."""

from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["write_out_linear_classifiers"]

_DOMAIN: Final = "ai.onnx.ml"
_ACTIVATIONS: Final = {b"NONE": "Identity", b"LOGISTIC": "Sigmoid", b"SOFTMAX": "Softmax"}


def write_out_linear_classifiers(model: ModelProto) -> None:
    """Write the scores of LinearClassifier nodes as Gemm and activation, in place.

    The node stays, for its labels. One that has a row of coefficients for two classes, or an
    activation of a rarer kind, stays as it is.
    """
    if not any(node.domain == _DOMAIN for node in model.graph.node):
        return
    nodes = [made for node in model.graph.node for made in _written_out(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _written_out(node: NodeProto) -> list[NodeProto]:
    twin = NodeProto()
    twin.CopyFrom(node)
    if node.op_type != "LinearClassifier" or node.domain != _DOMAIN or len(node.output) < 2:
        return [twin]
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    activation = _ACTIVATIONS.get(given.get("post_transform", b"NONE"))
    shift = np.array(given.get("intercepts", []), np.float32)
    weight = np.array(given.get("coefficients", []), np.float32)
    k = len(given.get("classlabels_strings") or given.get("classlabels_ints") or ())
    if activation is None or k < 2 or shift.size not in (0, k) or weight.size % k:
        return [twin]
    if shift.size == 0:
        shift = np.zeros(k, np.float32)
    result = node.output[1]
    x, w, b, score = (f"{result}/{what}" for what in ("x", "weight", "bias", "score"))
    twin.output[1] = f"{result}/own"
    ending = helper.make_node(activation, [score], [result])
    if activation == "Softmax":
        ending.attribute.append(helper.make_attribute("axis", 1))
    return [
        twin,
        helper.make_node("Cast", [node.input[0]], [x], to=TensorProto.FLOAT),
        _constant(w, weight.reshape(k, -1).T.copy()),
        _constant(b, shift),
        helper.make_node("Gemm", [x, w, b], [score], node.name),
        ending,
    ]


def _constant(name: str, array: np.ndarray) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
