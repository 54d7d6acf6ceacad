"""From an ONNX file as it comes to a graph that can be differentiated.

Never changes the numbers: functions are inlined, old operator versions are brought up to date,
shapes are inferred, and what is constant is folded.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from onnx import (
    ModelProto,
    TensorProto,
    TensorShapeProto,
    ValueInfoProto,
    checker,
    helper,
    inliner,
    shape_inference,
    version_converter,
)

from candor.autodiff.fold import fold
from candor.autodiff.graph import Graph
from candor.autodiff.linear_classifier import write_out_linear_classifiers
from candor.autodiff.repair import BEFORE_COORDINATES, keep_coordinates, repair, resizing
from candor.autodiff.weights import lightened
from candor.errors import InvalidModel, Unsupported

__all__ = ["EXPANDED", "OPSET_FLOOR", "prepare"]

OPSET_FLOOR: Final = 18  # from here on axes are operands and ScatterElements can add
_IR_FLOOR: Final = 8  # the file format that came with it
EXPANDED: Final = frozenset({"Attention", "CenterCropPad", "RotaryEmbedding"})
"""Operators that are differentiated by their definition."""

_NONE: Final[Mapping[str, TensorProto]] = MappingProxyType({})


def prepare(model: ModelProto, given: Mapping[str, TensorProto] = _NONE) -> Graph:
    """Check a model and return its graph, simplified; the model itself is not changed.

    Args:
        model: with its weights inside, but for those that are given.
        given: the weights that it has as external data, by name (`program.Program`).

    Raises:
        InvalidModel: if it is not valid ONNX, with the checker's reason.
        Unsupported: if its operators cannot be brought up to opset 18.
    """
    light, weights = lightened(model)
    repair(light)
    write_out_linear_classifiers(light)
    if any(not value.type.tensor_type.HasField("shape") for value in light.graph.output):
        light = _inferred(light)  # the checker wants every output's rank declared
    try:
        checker.check_model(light)
    except (checker.ValidationError, ValueError) as error:
        raise InvalidModel(f"not a valid ONNX model: {_first_line(error)}") from error
    light = _with_own_symbols(_inferred(_upgraded(_inlined(light))))
    small = {tensor.name: tensor for tensor in light.graph.initializer}
    return fold(Graph(light, {**weights, **given, **small}))


def _inlined(model: ModelProto) -> ModelProto:
    """Replace the model's own functions, and the standard's large ones, by their bodies."""
    if model.functions:
        model = inliner.inline_local_functions(model)
    if any(node.op_type in EXPANDED and not node.domain for node in model.graph.node):
        expanded = [("", op_type) for op_type in sorted(EXPANDED)]
        typed = _inferred(_with_weights_typed(model))  # the bodies depend on their operands' types
        model = inliner.inline_selected_functions(typed, expanded, inline_schema_functions=True)
    return model


def _with_weights_typed(model: ModelProto) -> ModelProto:
    """Declare the types of the initialisers, which the inliner does not look up itself."""
    typed = ModelProto()
    typed.CopyFrom(model)
    known = {value.name for value in (*typed.graph.input, *typed.graph.value_info)}
    typed.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in typed.graph.initializer
        if tensor.name not in known
    )
    return typed


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
    if version < BEFORE_COORDINATES:
        model = _converted(model, BEFORE_COORDINATES)
    resized = resizing(model, version)
    converted = _converted(model, OPSET_FLOOR)
    keep_coordinates(converted.graph.node, resized)
    del converted.graph.value_info[:]
    return converted


def _converted(model: ModelProto, target: int) -> ModelProto:
    before = _version(model)
    try:
        converted = version_converter.convert_version(model, target)
    except (RuntimeError, ValueError) as error:
        raise Unsupported(
            f"opset {before} cannot be converted to {target}: {_first_line(error)}"
        ) from error
    if _version(converted) != target:
        raise Unsupported(f"opset {before} cannot be converted to {target}")
    return converted


def _version(model: ModelProto) -> int:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            return opset.version
    model.opset_import.append(helper.make_opsetid("", OPSET_FLOOR))
    return OPSET_FLOOR


def _inferred(model: ModelProto) -> ModelProto:
    try:
        return shape_inference.infer_shapes(model)
    except (shape_inference.InferenceError, RuntimeError) as error:
        raise InvalidModel(f"the shapes of the model contradict: {_first_line(error)}") from error


def _with_own_symbols(model: ModelProto) -> ModelProto:
    """Forget the names of free extents that are not those of the inputs.

    Shape inference makes up a new one for whatever it cannot follow, which would hide that two
    extents are the same.
    """
    own = {axis.dim_param for value in model.graph.input for axis in _axes(value)}
    for value in (*model.graph.value_info, *model.graph.output):
        for axis in _axes(value):
            if axis.dim_param not in own:
                axis.ClearField("dim_param")
    return model


def _axes(value: ValueInfoProto) -> Iterator[TensorShapeProto.Dimension]:
    yield from value.type.tensor_type.shape.dim


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
