"""Whole networks: the compiled gradient against float64 torch autograd, and against onnx-ad."""

import copy

import numpy as np
import onnx_ad
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, shape_inference

from candor.autodiff import anatomy, gradient, prepare
from gradcheck.networks import NETWORKS, SEED, build, exported
from tolerance import assert_gradients_agree

BATCHES = (1, 2, 5)


def compile_gradient(model: ModelProto) -> ModelProto:
    """x, cotangent -> scores, gradient."""
    graph = prepare(model)
    found = anatomy(graph)
    graph.add_input("cotangent", TensorProto.FLOAT, ("batch", found.n_classes))
    pulled = gradient(graph, {found.score: "cotangent"}, found.explained)
    graph.add_output(pulled[found.explained[0]], "gradient")
    return graph.finish([found.output, "gradient"])


def session(model: ModelProto, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def draw(name: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.standard_normal((n, *NETWORKS[name].row), dtype=np.float32)
    with torch.no_grad():
        k = build(name)(torch.from_numpy(x)).shape[1]
    return x, rng.standard_normal((n, k), dtype=np.float32)


def autograd(name: str, x: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
    exact = copy.deepcopy(build(name)).double()
    leaf = torch.from_numpy(x).double().requires_grad_()
    (exact(leaf) * torch.from_numpy(cotangent).double()).sum().backward()
    return leaf.grad.numpy()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimised", [True, False], ids=["optimised", "as_written"])
def test_gradient_is_that_of_float64_autograd_at_any_batch(name, optimised):
    rng = np.random.default_rng(SEED)
    run = session(compile_gradient(exported(name)), optimised=optimised).run
    drawn = [draw(name, n, rng) for n in BATCHES]
    found = [run(None, {"x": x, "cotangent": c}) for x, c in drawn]
    with torch.no_grad():
        for (x, _), (scores, _) in zip(drawn, found, strict=True):
            expected = build(name)(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(scores, expected, atol=2e-4, err_msg=f"{SEED=}")
    exact = [autograd(name, *pair) for pair in drawn]
    gradients = np.concatenate([gradient for _, gradient in found])
    assert_gradients_agree(gradients, np.concatenate(exact), SEED)


@pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORKS[name].recurrent])
@pytest.mark.parametrize("steps", [1, 2, 31])
def test_recurrent_gradient_holds_at_any_length(name, steps):
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((8, steps, 6), dtype=np.float32)
    cotangent = rng.standard_normal((8, 4), dtype=np.float32)
    _, found = session(compile_gradient(exported(name))).run(None, {"x": x, "cotangent": cotangent})
    assert_gradients_agree(found, autograd(name, x, cotangent), SEED)


def fixed(model: ModelProto, n: int) -> ModelProto:
    """The model for one batch size, which is all that onnx-ad takes."""
    twin = ModelProto()
    twin.CopyFrom(model)
    del twin.graph.value_info[:]
    for value in (*twin.graph.input, *twin.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = n
    return shape_inference.infer_shapes(twin, data_prop=True)


@pytest.mark.parametrize("name", ["mlp", "lenet_legacy", "resnet_even", "vgg"])
def test_gradient_is_that_of_an_independent_transformation(name):
    rng = np.random.default_rng(SEED)
    x, cotangent = draw(name, 8, rng)
    _, ours = session(compile_gradient(exported(name))).run(None, {"x": x, "cotangent": cotangent})
    theirs = onnx_ad.reverse(
        fixed(exported(name), 8), inputs=["x"], outputs=["scores"], layout="onnx"
    )
    seeds = {"x": x, "adj_scores": cotangent[..., None]}
    (found,) = session(theirs).run(["adj_x"], seeds)
    assert_gradients_agree(ours, found[..., 0], SEED)
