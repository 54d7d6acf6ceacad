"""The check of a gradient: slopes in float64, and what the runtime makes of it in float32.

Four things must hold of a small graph at a point:

1. ONNX Runtime in float32 computes the same results as the float64 kernels, so that what follows
   speaks of the operators as they are served;
2. along a random direction the gradient is the slope, by central differences in float64;
3. ONNX Runtime in float32 computes the same gradient,
4. and also does with all of its graph optimisations switched off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from candor.autodiff import Graph, gradient, prepare
from candor.autodiff.prepare import EXPANDED
from gradcheck.kernels import KERNELS

__all__ = [
    "Compiled",
    "KinkError",
    "Point",
    "agrees_in_float32",
    "all_holds",
    "compiled",
    "has_the_slope",
]

Point = Mapping[str, np.ndarray]
Run = Callable[[Point], list[np.ndarray]]

STEPS = (1e-5, 1e-6)
"""Where the slopes of both disagree, a kink lies between."""


_ROUNDED = frozenset({"Shrink"})
"""ONNX Runtime's kernels for float64 compute these in float32."""

_NEGLIGIBLE = 0.1
"""Cotangents are of size 1; what they become that is smaller than this is rounding as much."""


class KinkError(Exception):
    """The point is too close to a kink for finite differences."""


@dataclass(frozen=True)
class Compiled:
    """A model and its gradient with respect to all of its inputs."""

    forward: ModelProto
    backward: ModelProto
    results: tuple[str, ...]


def compiled(model: ModelProto) -> Compiled:
    """Differentiate a model's float outputs with respect to its float inputs.

    The inputs of `backward` are those of the model and `<result>_bar` for each result.
    """
    if any(node.op_type in EXPANDED for node in model.graph.node):
        graph = prepare(model)
    else:  # not folded: a rule must stand on its own
        graph = Graph(shape_inference.infer_shapes(model))
        for node in graph.nodes:
            graph.infer(node)
    floats = {TensorProto.DOUBLE, TensorProto.FLOAT}
    results = tuple(name for name in graph.outputs if graph.dtype(name) in floats)
    wrt = [name for name in graph.inputs if graph.dtype(name) in floats]
    forward = graph.finish(results)
    cotangents = {
        name: graph.add_input(f"{name}_bar", graph.dtype(name), graph.shape(name) or ())
        for name in results
    }
    pulled = gradient(graph, cotangents, wrt)
    for name in wrt:
        graph.add_output(pulled[name], f"{name}_grad")
    return Compiled(forward, graph.finish([f"{name}_grad" for name in wrt]), results)


def bars(results: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    return [np.asarray(rng.standard_normal(result.shape)) for result in results]


def has_the_slope(
    model: ModelProto, point: Point, rng: np.random.Generator, *, kernels: str = "any"
) -> None:
    """Assert 2 of a model in float64; raises KinkError where that cannot be told."""
    _has_the_slope(compiled(model), point, rng, kernels)


def _has_the_slope(made: Compiled, point: Point, rng: np.random.Generator, kernels: str) -> None:
    forward, backward = runner(made.forward, kernels), runner(made.backward, kernels)
    cotangents = bars(forward(point), rng)
    named = {f"{name}_bar": bar for name, bar in zip(made.results, cotangents, strict=True)}
    gradients = backward({**point, **named})
    for (name, value), found in zip(point.items(), gradients, strict=True):
        assert found.shape == value.shape
        direction = rng.standard_normal(value.shape)
        slope, finer = (
            _slope(forward, point, name, step * direction, cotangents) / step for step in STEPS
        )
        scale = max(np.linalg.norm(found) * np.linalg.norm(direction) + abs(slope), _NEGLIGIBLE)
        if abs(slope - finer) > 1e-6 * scale:
            raise KinkError(name)
        # The error of a central difference falls with the square of its step: extrapolated to 0.
        limit = finer + (finer - slope) / ((STEPS[0] / STEPS[1]) ** 2 - 1)
        along = np.vdot(found, direction)
        assert abs(along - limit) <= 1e-7 * scale, f"{name}: {along} along, slope {limit}"


def _slope(
    forward: Run, point: Point, name: str, step: np.ndarray, cotangents: list[np.ndarray]
) -> float:
    ahead, behind = (forward({**point, name: point[name] + side * step}) for side in (1, -1))
    return sum(
        float(np.vdot(bar, (a - b) / 2))
        for bar, a, b in zip(cotangents, ahead, behind, strict=True)
    )


def agrees_in_float32(
    model: ModelProto, point: Point, rng: np.random.Generator, *, kernels: str = "any"
) -> None:
    """Assert 1, 3 and 4 of a model in float64."""
    _agrees(compiled(model), compiled(in_float32(model)), point, rng, kernels)


def all_holds(model: ModelProto, point: Point, rng: np.random.Generator) -> None:
    """Assert 1 to 4 of a model in float64; raises KinkError where 2 cannot be told."""
    exact = compiled(model)
    _agrees(exact, compiled(in_float32(model)), point, rng, "any")
    _has_the_slope(exact, point, rng, "any")


def _agrees(
    exact: Compiled, served: Compiled, point: Point, rng: np.random.Generator, kernels: str
) -> None:
    wanted = runner(exact.forward, kernels)(point)
    inputs = {name: _narrow(value) for name, value in point.items()}
    for found, result in zip(in_runtime(served.forward)(inputs), wanted, strict=True):
        _assert_close(found, result, "result")
    named = {f"{name}_bar": bar for name, bar in zip(exact.results, bars(wanted, rng), strict=True)}
    gradients = runner(exact.backward, kernels)({**point, **named})
    inputs |= {name: _narrow(bar) for name, bar in named.items()}
    for optimise in (True, False):
        run = in_runtime(served.backward, optimise=optimise)
        for found, want in zip(run(inputs), gradients, strict=True):
            _assert_close(found, want, f"gradient, {optimise=}")


def is_the_adjoint(model: ModelProto, point: Point, rng: np.random.Generator) -> None:
    """Assert <bar, f(x)> = <gradient(bar), x> of a linear f, as ONNX Runtime computes both.

    For operators whose conventions onnx's reference reads otherwise than ONNX Runtime.
    """
    made = compiled(in_float32(model))
    inputs = {name: _narrow(value) for name, value in point.items()}
    results = in_runtime(made.forward)(inputs)
    drawn = bars(results, rng)
    named = {f"{name}_bar": _narrow(bar) for name, bar in zip(made.results, drawn, strict=True)}
    there = sum(float(np.vdot(bar, result)) for bar, result in zip(drawn, results, strict=True))
    for optimise in (True, False):
        gradients = in_runtime(made.backward, optimise=optimise)(inputs | named)
        back = sum(float(np.vdot(g, x)) for g, x in zip(gradients, point.values(), strict=True))
        scale = sum(np.linalg.norm(g) * np.linalg.norm(x)
                    for g, x in zip(gradients, point.values(), strict=True))  # fmt: skip
        assert abs(there - back) <= 1e-5 * (scale + abs(there)), f"{there} there, {back} back"


def _narrow(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype == np.float64 else value


def _assert_close(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    assert found.shape == wanted.shape, f"{what}: {found.shape} is not {wanted.shape}"
    scale = np.abs(wanted).max(initial=_NEGLIGIBLE)
    worst = np.abs(found - wanted).max(initial=0)
    assert worst <= 1e-4 * scale, f"{what} is off by {worst}, of {scale}"


_NO_KERNEL = (
    onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,  # Celu is defined for float32 alone
)


def runner(model: ModelProto, kernels: str) -> Run:
    """Return how to run a float64 model: by ONNX Runtime ('runtime'), else onnx's own kernels."""
    rounds = any(node.op_type in _ROUNDED for node in model.graph.node)
    if kernels == "runtime" or (kernels == "any" and not rounds):
        try:
            return in_runtime(model)
        except _NO_KERNEL:
            if kernels == "runtime":
                raise
    return _fed(model, ReferenceEvaluator(model, new_ops=KERNELS).run)


def in_runtime(model: ModelProto, *, optimise: bool = True) -> Run:
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return _fed(model, session.run)


def _fed(model: ModelProto, run: Callable[..., list[np.ndarray]]) -> Run:
    read = [value.name for value in model.graph.input]
    return lambda feeds: [
        np.asarray(found) for found in run(None, {name: np.asarray(feeds[name]) for name in read})
    ]


def in_float32(model: ModelProto) -> ModelProto:
    """Copy a float64 model into float32: types, weights, and what casts name."""
    twin = ModelProto()
    twin.CopyFrom(model)
    for value in (*twin.graph.input, *twin.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in twin.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for node in twin.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "stash_type"} and attribute.i == TensorProto.DOUBLE:
                attribute.CopyFrom(helper.make_attribute(attribute.name, TensorProto.FLOAT))
    return twin
