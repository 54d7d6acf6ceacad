"""A network as tf2onnx writes those of Keras: channels last, norms as Mul, Softmax at the end."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from candor.client import Client
from candor.explain.options import METHODS
from candor.result import Array
from serving import running
from tolerance import assert_gradients_agree
from unit.autodiff.build import model

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)
WEIGHTS = {
    "one": RNG.normal(size=(8, 3, 3, 3)) / 4,
    "norm": RNG.uniform(0.5, 1.5, (8, 1, 1)),
    "depthwise": RNG.normal(size=(8, 1, 3, 3)) / 2,
    "two": RNG.normal(size=(16, 8, 3, 3)) / 6,
    "dense": RNG.normal(size=(16, 4)),
}
TEXT = """(float[n, 32, 32, 3] picture) => (float[n, 4] probabilities) {
    a = Mul(picture, scale) b = Add(a, shift) c = Transpose <perm = [0, 3, 1, 2]>(b)
    d = Conv <pads = [1, 1, 1, 1]>(c, one) e = Relu(d) f = Mul(e, norm)
    g = MaxPool <kernel_shape = [2, 2], strides = [2, 2]>(f)
    h = Conv <group = 8, pads = [1, 1, 1, 1]>(g, depthwise) i = Clip(h, low, high)
    j = Conv <pads = [0, 0, 1, 1], strides = [2, 2]>(i, two) k = Relu(j)
    l = Transpose <perm = [0, 2, 3, 1]>(k) m = ReduceMean <keepdims = 0>(l, axes)
    o = MatMul(m, dense) probabilities = Softmax(o)
}"""
MANIFEST = """
labels = ["north", "east", "south", "west"]

[input]
kind = "image"
range = [0.0, 255.0]
resize = "stretch"
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root: Path = tmp_path_factory.mktemp("models")
    (root / "halves" / "1").mkdir(parents=True)
    numbers = {"scale": 1 / 127.5, "shift": -1.0, "low": 0.0, "high": 6.0}
    floats = {name: np.asarray(of, np.float32) for name, of in (WEIGHTS | numbers).items()}
    written = model(TEXT, axes=np.array([1, 2]), **floats)
    onnx.save(written, root / "halves" / "1" / "model.onnx")
    (root / "halves" / "model.toml").write_text(MANIFEST, encoding="utf-8")
    with (
        running(tmp_path_factory.mktemp("log"), root) as server,
        Client(server.grpc_target) as connected,
    ):
        yield connected


def maps(picture: torch.Tensor) -> torch.Tensor:
    """The same in torch up to the pooling; picture [n, 32, 32, 3], 0..255."""
    of = {name: torch.from_numpy(weight) for name, weight in WEIGHTS.items()}
    x = (picture / 127.5 - 1).permute(0, 3, 1, 2)
    x = functional.max_pool2d(functional.conv2d(x, of["one"], padding=1).relu() * of["norm"], 2)
    x = functional.conv2d(x, of["depthwise"], padding=1, groups=8).clamp(0, 6)
    return functional.conv2d(functional.pad(x, (0, 1, 0, 1)), of["two"], stride=2).relu()


def scores(picture: torch.Tensor) -> torch.Tensor:
    """The same in torch, before the softmax."""
    return maps(picture).mean((2, 3)) @ torch.from_numpy(WEIGHTS["dense"])


def pictures(n: int) -> Array:
    return RNG.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)


def test_the_manifest_need_not_say_where_the_channels_are(client: Client) -> None:
    found = client.model("halves")
    assert found.kind == "image"
    assert found.methods == dict.fromkeys(METHODS)
    assert found.layers[found.default_layer][1:] == (16, 8, 8)


def test_pictures_are_predicted_as_torch_does(client: Client) -> None:
    rows = pictures(3)
    found = client.predict("halves", images=list(rows)).probabilities
    wanted = scores(torch.from_numpy(rows.astype(np.float64))).softmax(1)
    np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=f"seed {SEED}")


def test_the_gradient_is_autograds(client: Client) -> None:
    rows = pictures(8)
    asked = {"gradient": {"reduction": "signed", "channels": "keep"}}
    found = client.explain("halves", [asked], targets="east", images=list(rows))
    point = torch.from_numpy(rows.astype(np.float64)).requires_grad_()
    scores(point)[:, 1].sum().backward()
    assert point.grad is not None
    ours = np.stack([answer.values for answer in found.answers])
    assert_gradients_agree(ours, point.grad.numpy(), SEED)


def test_cam_is_the_weighted_sum_of_the_last_maps(client: Client) -> None:
    rows = pictures(1)
    asked = {"cam": {"normalise": False}}
    found = client.explain("halves", [asked], targets=2, images=list(rows)).of("cam")
    last = maps(torch.from_numpy(rows.astype(np.float64)))
    weighted = torch.einsum("ncij,c->nij", last, torch.from_numpy(WEIGHTS["dense"][:, 2]))
    wanted = functional.interpolate(weighted[None], (32, 32), mode="bilinear")[0, 0].numpy()
    atol = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(found.values, wanted, atol=atol, err_msg=f"seed {SEED}")
