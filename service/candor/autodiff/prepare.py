"""From an ONNX file as it comes to a graph that can be differentiated.

Never changes the numbers: functions are inlined, old operator versions are brought up to date,
shapes are inferred, and what is constant is folded.
"""

from typing import Final

from onnx import ModelProto, checker, helper, inliner, shape_inference, version_converter

from candor.autodiff.fold import fold
from candor.autodiff.graph import Graph
from candor.errors import InvalidModel, Unsupported

__all__ = ["OPSET_FLOOR", "prepare"]

OPSET_FLOOR: Final = 18  # from here on axes are operands and ScatterElements can add
_IR_FLOOR: Final = 8  # the file format that came with it
_EXPANDED: Final = frozenset({"Attention"})  # operators that are differentiated by their definition


def prepare(model: ModelProto) -> Graph:
    """Check a model and return its graph, simplified; the model itself is not changed.

    Raises:
        InvalidModel: if it is not valid ONNX, with the checker's reason.
        Unsupported: if its operators cannot be brought up to opset 18.
    """
    if any(not value.type.tensor_type.HasField("shape") for value in model.graph.output):
        model = _inferred(model)  # the checker wants every output's rank declared
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise InvalidModel(f"not a valid ONNX model: {_first_line(error)}") from error
    model = _inlined(model)
    model = _upgraded(model)
    return fold(Graph(_inferred(model)))


def _inlined(model: ModelProto) -> ModelProto:
    """Replace the model's own functions, and the standard's large ones, by their bodies."""
    if model.functions:
        model = inliner.inline_local_functions(model)
    if any(node.op_type in _EXPANDED and not node.domain for node in model.graph.node):
        expanded = [("", op_type) for op_type in sorted(_EXPANDED)]
        model = inliner.inline_selected_functions(model, expanded, inline_schema_functions=True)
    twin = ModelProto()
    twin.CopyFrom(model)
    return twin


def _upgraded(model: ModelProto) -> ModelProto:
    """Convert to the opset floor; older models may list initialisers among their inputs."""
    constant = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constant]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _IR_FLOOR)
    del model.graph.value_info[:]
    version = _version(model)
    if version >= OPSET_FLOOR:
        return model
    try:
        converted = version_converter.convert_version(model, OPSET_FLOOR)
    except (RuntimeError, ValueError) as error:
        raise Unsupported(
            f"opset {version} cannot be converted to {OPSET_FLOOR}: {_first_line(error)}"
        ) from error
    if _version(converted) != OPSET_FLOOR:
        raise Unsupported(f"opset {version} cannot be converted to {OPSET_FLOOR}")
    del converted.graph.value_info[:]
    return converted


def _version(model: ModelProto) -> int:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            return opset.version
    model.opset_import.append(helper.make_opsetid("", OPSET_FLOOR))
    return OPSET_FLOOR


def _inferred(model: ModelProto) -> ModelProto:
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError) as error:
        raise InvalidModel(f"the shapes of the model contradict: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
