"""Quantised models: the straight-through estimate is that of torch's fake quantisation."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from candor.autodiff import anatomy, gradient, prepare
from candor.errors import UnsupportedOperator
from gradcheck.networks import SEED
from unit.autodiff.build import model

CHANNELS = 3


def quantised(between: str = "d = DequantizeLinear(q, s, z)", **parameters: np.ndarray):
    text = f"""(float[n, 3, 4] x) => (float[n, 3] y) {{
        h = Mul(x, two)
        q = QuantizeLinear(h, s, z)
        {between}
        e = Mul(d, d)
        y = ReduceSum <keepdims = 0>(e, axes)
    }}"""
    return prepare(model(text, two=np.float32(2), axes=np.array([2]), **parameters))


@pytest.mark.parametrize("integer", [np.int8, np.uint8])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per_tensor", "per_channel"])
def test_gradient_is_that_of_fake_quantisation(integer, per_channel):
    rng = np.random.default_rng(SEED)
    size = CHANNELS if per_channel else ()
    scale = rng.uniform(0.01, 0.02, size).astype(np.float32)
    zero = rng.integers(0, 20, size).astype(integer)
    graph = quantised(s=scale, z=zero)
    found = anatomy(graph)
    assert found.straight_through
    graph.add_input("bar", TensorProto.FLOAT, ("n", CHANNELS))
    pulled = gradient(graph, {found.score: "bar"}, ["x"])
    graph.add_output(pulled["x"], "g")
    built = graph.finish(["y", "g"]).SerializeToString()
    run = onnxruntime.InferenceSession(built, providers=["CPUExecutionProvider"]).run
    x = rng.standard_normal((5, CHANNELS, 4)).astype(np.float32)  # twice that saturates
    bar = rng.standard_normal((5, CHANNELS)).astype(np.float32)
    scores, ours = run(None, {"x": x, "bar": bar})

    leaf = torch.from_numpy(x).requires_grad_()
    low, high = np.iinfo(integer).min, np.iinfo(integer).max
    if per_channel:
        points = torch.from_numpy(zero.astype(np.int32))
        faked = torch.fake_quantize_per_channel_affine(
            leaf * 2, torch.from_numpy(scale), points, 1, low, high
        )
    else:
        faked = torch.fake_quantize_per_tensor_affine(leaf * 2, float(scale), int(zero), low, high)
    expected = (faked**2).sum(2)
    (expected * torch.from_numpy(bar)).sum().backward()
    exact = leaf.grad.numpy()
    assert (exact == 0).any()
    np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-4, err_msg=f"{SEED=}")
    np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-5, err_msg=f"{SEED=}")


def test_an_operator_on_quantised_values_is_refused_by_name():
    graph = quantised(
        "m = Reshape(q, same) d = DequantizeLinear(m, s, z)",
        s=np.float32(0.1),
        z=np.int8(0),
        same=np.array([0, 3, 4]),
    )
    graph.add_input("bar", TensorProto.FLOAT, ("n", CHANNELS))
    with pytest.raises(UnsupportedOperator, match=r"Reshape.*'q' is quantised"):
        gradient(graph, {"y": "bar"}, ["x"])
