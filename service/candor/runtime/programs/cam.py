"""Prediction and class activation map out of one run: the way back stops at the layer."""

import math

import numpy as np
from onnx import ModelProto, TensorProto

from candor.autodiff import Emitter, Graph, gradient
from candor.autodiff.layout import Layout
from candor.autodiff.recurrent_layers import STATES
from candor.errors import Unsupported
from candor.result import CamFormula
from candor.runtime.programs.blueprint import Blueprint, nth
from candor.runtime.programs.cam_formulas import FORMULAS, Formula
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_direction, add_heads
from candor.runtime.programs.interpose import in_float
from candor.runtime.programs.mapped import inputs_of_layers

__all__ = ["MAP", "cam_program"]

MAP = "candor.map"

# The range is divided by its extent plus this, as pytorch-grad-cam does.
_EPSILON = np.float32(1e-7)


def cam_program(
    blueprint: Blueprint, formula: CamFormula, layer: str, *, normalise: bool
) -> ModelProto:
    """x [n, ...], direction [n, k] -> score, probability, map [n, h, w] (or [n, t]).

    With `normalise` the map is post-processed per row in pytorch-grad-cam's order: rectify, scale
    to 0..1 at the layer's resolution, resize (bilinear, half-pixel), rectify and scale again.
    Without, it is resized only, in the units of the score. Of several inputs there is a map for
    each that the layer has the positions of (`blueprint.nth` names them).

    Raises:
        Unsupported: the model has no such map.
    """
    graph = blueprint.graph.copy()
    heads = add_heads(graph, blueprint)
    direction = add_direction(graph, heads, max(2, blueprint.anatomy.n_classes))
    op = Emitter(graph, "candor/cam")
    raw = (
        _exact(op, blueprint, layer, direction)
        if formula == "cam"
        else _by_gradient(op, blueprint, FORMULAS[formula], layer, direction)
    )
    if normalise:
        raw = _unit_range(graph, op, raw)
    maps = []
    for position, (name, channel_axis) in _mapped(blueprint, layer).items():
        positions = _positions(graph, op, name, channel_axis)
        resized = op.Squeeze(_resize(graph, op, raw, *positions), [1])
        if normalise:
            resized = _unit_range(graph, op, resized)
        maps.append(graph.add_output(resized, nth(MAP, position)))
    return graph.finish([SCORE, PROBABILITY, *maps])


def _mapped(blueprint: Blueprint, layer: str) -> dict[int, tuple[str, int | None]]:
    """Name and channel axis of the inputs that the map is drawn for, by their position."""
    if not blueprint.ends:
        return {0: (blueprint.input, blueprint.channel_axis)}
    ends = {at: blueprint.ends[at] for at in inputs_of_layers(blueprint).get(layer, ())}
    if not ends:
        raise Unsupported(
            f"layer '{layer}' has the positions of none of the inputs {', '.join(blueprint.inputs)}"
        )
    return {at: (end.input, end.geometry.channel_axis) for at, end in ends.items()}


def _by_gradient(
    op: Emitter, blueprint: Blueprint, formula: Formula, layer: str, direction: str
) -> str:
    """Go back from the score to the layer, and let the formula weigh what lies there."""
    layout = next(found.layout for found in blueprint.anatomy.layers if found.name == layer)
    if layout is STATES:
        slope = gradient(op.graph, {SCORE: direction}, [], [layer])[layer]
        _, directions, _, hidden = op.graph.shape(layer) or ()
        width = math.prod(extent for extent in (directions, hidden) if isinstance(extent, int))
        states, slopes = (_of_all_directions(op, value, width) for value in (layer, slope))
        return formula(op, states, slopes)
    real = in_float(op.graph, layer)
    slope = _laid_out(op, gradient(op.graph, {SCORE: direction}, [real])[real], layout)
    return formula(op, _laid_out(op, real, layout), slope)


def _of_all_directions(op: Emitter, states: str, width: int) -> str:
    """[t, d, n, h], or what is shaped like it, -> [n, d h, t]; `width` is d h."""
    return op.Reshape(op.Transpose(states, perm=[2, 1, 3, 0]), [0, width, -1])


def _exact(op: Emitter, blueprint: Blueprint, layer: str, direction: str) -> str:
    """Zhou et al. 2016, eq. 2 (arXiv:1512.04150): sum_k w_ck A_k, signed, without the bias."""
    head = blueprint.anatomy.cam_head
    if head is None:
        raise Unsupported(f"'{layer}' has no linear head: {blueprint.anatomy.cam_refusal}")
    weight = head.weight
    if op.graph.dtype(weight) != TensorProto.FLOAT:
        weight = op.Cast(weight, to=TensorProto.FLOAT)
    if blueprint.anatomy.n_classes == 1:
        weight = op.Concat(op.Neg(weight), weight, axis=0)
    activation = _laid_out(op, in_float(op.graph, layer), head.layout)
    spatial = range(2, op.graph.rank(activation) or 0)
    weights = op.Unsqueeze(op.MatMul(direction, weight), spatial)
    return op.ReduceSum(op.Mul(weights, activation), [1], keepdims=1)


def _laid_out(op: Emitter, value: str, layout: Layout) -> str:
    """Bring a value to [n, c, *spatial]: the positions out of a row of tokens, channels second."""
    if layout.grid:
        count = math.prod(layout.grid)
        if (op.graph.shape(value) or ())[layout.spatial[0]] != count:
            ends = [layout.skipped + count]
            value = op.Slice(value, [layout.skipped], ends, layout.spatial)
    order = [layout.batch, layout.channel, *layout.spatial]
    if order != sorted(order):
        value = op.Transpose(value, perm=order)
    return op.Reshape(value, [0, 0, *layout.grid]) if layout.grid else value


def _unit_range(graph: Graph, op: Emitter, raw: str) -> str:
    axes = range(1, graph.rank(raw) or 0)
    positive = op.Relu(raw)
    shifted = op.Sub(positive, op.ReduceMin(positive, axes, keepdims=1))
    extent = op.ReduceMax(shifted, axes, keepdims=1)
    return op.Div(shifted, op.Add(extent, _EPSILON))


def _positions(graph: Graph, op: Emitter, name: str, channel_axis: int | None) -> tuple[str, int]:
    """An input's spatial extent, as a shape value, (h, w) or (t,), and how many axes these are."""
    axes = range(1, graph.rank(name) or 0)
    channel = None if channel_axis is None else 1 + channel_axis
    kept = [axis for axis in axes if axis != channel]
    return op.Gather(op.Shape(name), kept, axis=0), len(kept)


def _resize(graph: Graph, op: Emitter, raw: str, positions: str, n_axes: int) -> str:
    """Bilinear, half-pixel: equal to cv2's INTER_LINEAR to 1.2e-7."""
    leading = op.Shape(raw, start=0, end=2)
    if graph.rank(raw) == 4 and n_axes == 1:  # exporters pool a series as a picture one pixel high
        raw = op.Reshape(raw, [0, 0, -1])
    if graph.rank(raw) == 4:
        return _linear(op, raw, op.Concat(leading, positions, axis=0))
    # ONNX Runtime resizes pictures; a series becomes a picture one pixel high.
    flat = op.Unsqueeze(raw, [2])
    wide = _linear(op, flat, op.Concat(leading, [1], positions, axis=0))
    return op.Squeeze(wide, [2])


def _linear(op: Emitter, raw: str, sizes: str) -> str:
    return op.Resize(
        raw, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel"
    )
