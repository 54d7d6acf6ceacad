"""Every rule in float64, against central differences along random directions."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from candor.autodiff import RULES, Graph, gradient
from gradcheck import cases_pointwise, cases_spatial
from gradcheck.case import Case
from gradcheck.kernels import KERNELS
from gradcheck.networks import SEED

STEP = 1e-5
CASES = [*cases_pointwise.CASES, *cases_spatial.CASES]
RECURRENT = {"LSTM", "GRU", "RNN"}  # against torch, in test_recurrent.py: no float64 kernels exist
QUANTISED = {"QuantizeLinear", "DequantizeLinear"}  # estimates: in test_straight_through.py

ANY_EXTENT = {"Add", "Concat", "Conv", "Gather", "GatherElements", "Gemm", "GlobalAveragePool",
              "LayerNormalization", "MatMul", "MaxPool", "ReduceMean", "ReduceSum", "Relu", "Slice",
              "Softmax", "Split", "Transpose", "Where"}  # fmt: skip
"""Tested with nothing known but ranks too, as in networks for pictures of any size."""

Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


def model_of(case: Case, *, known: str) -> ModelProto:
    """A model of the one node; the varied operands are inputs, with or without known extents."""
    names = [f"operand_{i}" if a is not None else "" for i, a in enumerate(case.operands)]
    node = helper.make_node(
        case.op, names, [f"result_{i}" for i in range(case.outputs)], name="node", **case.attributes
    )
    inputs, constants = [], []
    for i, (name, array) in enumerate(zip(names, case.operands, strict=True)):
        if i in case.vary:
            n = {"all": 0, "all but batch": 1, "rank": array.ndim}[known]
            shape = [f"axis_{i}_{axis}" for axis in range(min(n, array.ndim))] + [*array.shape[n:]]
            inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape))
        elif array is not None:
            constants.append(numpy_helper.from_array(array, name))
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], case.op, inputs, outputs, constants)
    opset = helper.make_opsetid("", case.opset)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def runner(model: ModelProto, kernels: str) -> Run:
    if kernels == "reference":
        run = ReferenceEvaluator(model, new_ops=KERNELS).run
    else:
        run = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        ).run
    read = {value.name for value in model.graph.input}
    return lambda feeds: run(None, {name: feeds[name] for name in read})


def forward_and_gradient(case: Case, *, known: str) -> tuple[Run, Run, int]:
    graph = Graph(shape_inference.infer_shapes(model_of(case, known=known)))
    for node in graph.nodes:
        graph.infer(node)
    results = [name for name in graph.outputs if graph.dtype(name) == TensorProto.DOUBLE]
    forward = graph.finish(results)
    cotangents = {
        name: graph.add_input(f"{name}_bar", TensorProto.DOUBLE, graph.shape(name) or ())
        for name in results
    }
    wrt = [f"operand_{i}" for i in case.vary]
    pulled = gradient(graph, cotangents, wrt)
    for name in wrt:
        graph.add_output(pulled[name], f"{name}_grad")
    backward = graph.finish([f"{name}_grad" for name in wrt])
    return runner(forward, case.kernels), runner(backward, case.kernels), len(results)


@pytest.mark.parametrize(
    ("case", "known"),
    [
        pytest.param(case, known, id=f"{i}:{case}-{known}")
        for i, case in enumerate(CASES)
        for known in ("all", "all but batch", "rank")
        if known != "rank" or (case.op in ANY_EXTENT and "auto_pad" not in case.attributes)
    ],
)
def test_gradient_is_the_slope_along_any_direction(case: Case, known: str):
    rng = np.random.default_rng(SEED)
    forward, backward, n_results = forward_and_gradient(case, known=known)
    point = {f"operand_{i}": case.operands[i] for i in case.vary}
    results = forward(point)
    bars = [rng.standard_normal(result.shape) for result in results]
    names = {f"result_{i}_bar": bar for i, bar in enumerate(bars)}
    assert len(results) == n_results
    gradients = backward(point | names)
    for (name, value), found in zip(point.items(), gradients, strict=True):
        assert found.shape == value.shape
        direction = rng.standard_normal(value.shape)
        ahead, behind = (
            forward(point | {name: value + side * STEP * direction}) for side in (1, -1)
        )
        slope = sum(
            np.vdot(bar, (a - b) / (2 * STEP))
            for bar, a, b in zip(bars, ahead, behind, strict=True)
        )
        scale = np.linalg.norm(found) * np.linalg.norm(direction) + abs(slope)
        assert abs(np.vdot(found, direction) - slope) <= 1e-7 * scale, f"CANDOR_SEED={SEED}"


def test_every_rule_has_a_case():
    assert set(RULES) == {case.op for case in CASES} | RECURRENT | QUANTISED
