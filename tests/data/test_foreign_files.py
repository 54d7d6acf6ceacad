"""Files of other people's exporters: all load, and each is explained or refused for a reason.

Derivatives are compared with central differences of the served model's own scores in float32: long
steps cross corners of rectifiers, short ones drown in rounding, and the best of four counts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from torch.nn import functional

from candor.result import Array, CamFormula, ModelId
from candor.runtime.files import read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.model import Model, ModelPolicy
from candor.runtime.session import SessionPolicy
from zoo.data import data_root, required

pytestmark = pytest.mark.data

Values = dict[str, torch.Tensor]

# Not fresh: of rows at random one in a hundred lies beside a gate, where no quotient is the slope.
SEED = int(os.environ.get("CANDOR_SEED", "1"))
STEPS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)
GRADIENTS = {"gradient", "integrated_gradients", "smooth_grad"}
EVERYWHERE = {"occlusion", "lime"}


@dataclass(frozen=True)
class Foreign:
    """A file, what a row of it is, and which maps of its layers it has."""

    path: str
    row: tuple[int, ...]
    kind: str
    maps: frozenset[CamFormula]
    scale: float = 1.0
    digits: bool = False


NONE, ALL = frozenset[CamFormula](), frozenset(get_args(CamFormula))
BY_GRADIENT = ALL - {"cam"}
FILES = [
    Foreign("mnist8/mnist-8.onnx", (1, 28, 28), "image", BY_GRADIENT, 255.0),
    Foreign("dianna/mnist_model.onnx", (1, 28, 28), "image", BY_GRADIENT),
    Foreign("dianna/season_prediction_model_temp_max_binary.onnx", (28, 1), "series",
            BY_GRADIENT, 20),
    Foreign("squeezenet_cifar10/squeezenet_cifar10.onnx", (32, 32, 3), "image", ALL),
    Foreign("vnncomp/Convnet_maxpool.onnx", (1, 28, 28), "image", BY_GRADIENT),
    Foreign("vnncomp/mnist-net_256x2.onnx", (784, 1), "series", NONE, digits=True),
    Foreign("vnncomp/resnet_2b.onnx", (3, 32, 32), "image", BY_GRADIENT),
]  # fmt: skip
QUANTISED = "mobilenetv2_int8/mobilenetv2-12-int8.onnx"
STATEFUL = "silero_vad/silero_vad_16k_op15.onnx"


def served(relative: str) -> Model:
    file = read_model(required(data_root(), f"onnx/{relative}"))
    policy = ModelPolicy(SessionPolicy(("cpu",)), 10**7, lambda *_: None)
    manifest = load_manifest(Path("/no/manifest/there"))
    return Model(ModelId("foreign", "1", file.digest), file, manifest, policy)


def one_hot(n: int, k: int, targets: Array) -> Array:
    direction = np.zeros((n, k), np.float32)
    direction[np.arange(n), targets] = 1
    return direction


def test_there_is_a_case_for_every_file():
    root = data_root() / "onnx"
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.onnx")}
    assert there == {case.path for case in FILES} | {QUANTISED, STATEFUL}


@pytest.mark.parametrize("case", FILES, ids=lambda case: Path(case.path).stem)
def test_file_is_explained(case: Foreign):
    rng = np.random.default_rng(SEED)
    model = served(case.path)
    assert model.kind == case.kind
    supported = {name for name, why in model.methods.items() if why is None}
    assert supported == case.maps | GRADIENTS | EVERYWHERE
    assert all("found" in why or "no layer" in why for why in model.methods.values() if why)
    # Three rows: also of the files that are exported for a batch of one.
    x = _digits(case.row) if case.digits else rng.random((3, *case.row), np.float32)
    x *= np.float32(case.scale)
    subject = model.subject()
    scores = subject.predict(x).score
    targets = scores.argmax(1)
    run = subject.gradient(x, one_hot(3, model.n_classes, targets), "score")
    np.testing.assert_allclose(run.scores.score, scores, rtol=1e-4, atol=1e-4)
    assert run.gradient.shape == x.shape
    for row, target in enumerate(targets):
        gaps = [_gap(model, run.gradient[row], x[row], target, case.scale * s) for s in STEPS]
        assert min(gaps) < 0.01, f"CANDOR_SEED={SEED}, row {row}: {gaps}"
    for formula in sorted(case.maps):
        layer = subject.cam_layer(formula, None)
        direction = one_hot(3, model.n_classes, targets)
        maps = subject.cam(x, direction, formula, layer, normalise=True)[1]
        assert maps.shape == (3, *(case.row[:1] if case.kind == "series" else _sides(case.row)))
        assert np.isfinite(maps).all()


def _digits(row: tuple[int, ...]) -> Array:
    """Handwritten digits, 0..1: noise leaves every unit of this network's last layer silent."""
    digits = np.load(required(data_root(), "onnx/dianna/binary-mnist.npz"))["X_test"][:3]
    return (digits.reshape(3, *row) / 255).astype(np.float32)


def _sides(row: tuple[int, ...]) -> tuple[int, ...]:
    return row[:2] if row[-1] <= 3 else row[1:]


def _gap(model: Model, gradient: Array, x: Array, target: int, step: float) -> float:
    """How far the gradient is from the slope along its own signs, as a share of the slope."""
    way = step * np.sign(gradient)
    sides = np.stack([x + way, x - way]).astype(np.float32)
    ahead, behind = model.subject().predict(sides).score[:, target].astype(np.float64)
    moved = (sides[0].astype(np.float64) - sides[1]).ravel()
    along = np.dot(gradient.ravel().astype(np.float64), moved)
    return float(abs(ahead - behind - along) / abs(along))


# A quantised network, against its own weights in float64


def test_quantised_network_is_explained():
    model = served(QUANTISED)
    assert [name for name, why in model.methods.items() if why] == ["cam"]
    assert "DequantizeLinear" in model.methods["cam"]
    x, subject = _finch(), model.subject()
    assert subject.straight_through
    plain = model.run({"input": x})["output"]
    target = int(plain.argmax())
    assert target == 12  # the goldfinches and finches stand at 10 to 13
    direction = one_hot(1, 1000, np.array([target]))
    run = subject.gradient(x, direction, "score")
    np.testing.assert_array_equal(run.scores.score, plain)

    same, exact = (_dequantised_gradient(x, target, gates=gates) for gates in (True, False))
    # With the gates of the integers' own run nothing is left to differ but rounding ...
    assert _cosine(run.gradient, same) > 1 - 1e-5
    off = np.abs(run.gradient - same) > 1e-5 * np.abs(same).max()
    assert off.mean() < 1e-4  # pixels just outside of the range
    # ... while of the float network one gate in some hundred stands otherwise, 52 layers deep.
    assert _cosine(run.gradient, exact) > 0.45
    assert _cosine(_blurred(run.gradient), _blurred(exact)) > 0.8

    layer = subject.cam_layer("grad_cam", None)
    assert layer == "627_quantized"
    heat = subject.cam(x, direction, "grad_cam", layer, normalise=True)[1][0]
    assert heat.shape == (224, 224)
    bird = heat[60:180, 60:180].mean()  # it sits in the middle
    assert bird > 1.5 * np.delete(heat, np.s_[60:180], axis=0).mean()


def test_integrated_gradients_of_the_quantised_network_nearly_add_up():
    model = served(QUANTISED)
    x, subject = _finch(), model.subject()
    target = 12
    nodes, weights = np.polynomial.legendre.leggauss(24)
    alphas = ((nodes + 1) / 2).astype(np.float32)
    direction = one_hot(1, 1000, np.array([target]))
    path = subject.path(x, np.zeros_like(x), alphas, direction, "score")
    total = (np.tensordot(weights / 2, path.gradient, axes=1) * path.displacement).sum()
    ends = [subject.predict(value).score[0, target] for value in (x, np.zeros_like(x))]
    # The estimate is no derivative, so the sum need not be the change; it is of its size.
    assert 0.3 < total / (ends[0] - ends[1]) < 2.0


def _finch() -> Array:
    path = required(data_root(), "onnx/mobilenetv2_int8/imagenet_finch.jpeg")
    picture = np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32) / 255
    normal = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return normal.transpose(2, 0, 1)[None].astype(np.float32)


def _cosine(one: Array, two: Array) -> float:
    return float((one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two))


def _blurred(gradient: Array) -> Array:
    """Its magnitude on a coarse grid, which is what a reader of the map looks at."""
    return functional.avg_pool2d(torch.from_numpy(np.abs(gradient).sum(1)), 28).numpy()


def _dequantised_gradient(x: Array, target: int, *, gates: bool) -> Array:
    """float64 autograd of the file's own weights, as floats.

    Ranges are clipped by their ends, or, with `gates`, where the integers of the file's own run
    stand at an end; values are then the integers' meanings.
    """
    proto = onnx.load(required(data_root(), f"onnx/{QUANTISED}"))
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    levels = _levels(proto, x) if gates else {}
    leaf = torch.from_numpy(x).double().requires_grad_()
    values = {"input": leaf}
    for node in proto.graph.node:
        if node.op_type in FLOAT_OPERATORS:
            at, compute = FLOAT_OPERATORS[node.op_type]
            value = compute(node, values, known)
            scaling = [known[name] for name in node.input[at : at + 2]] if at else None
            level = levels.get(node.output[0])
            values[node.output[0]] = value if scaling is None else _ranged(value, scaling, level)
    values["output"][0, target].backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


def _ranged(value: torch.Tensor, scaling: list[Array], level: Array | None) -> torch.Tensor:
    scale, zero = float(scaling[0]), int(scaling[1])
    if level is None:
        return value.clamp(-zero * scale, (255 - zero) * scale)
    exact = torch.from_numpy(level.astype(np.float64))
    passed = value * (((exact > 0) & (exact < 255)) | (value.grad_fn is None))
    return passed + ((exact - zero) * scale - passed).detach()


def _convolved(node: onnx.NodeProto, values: Values, known: dict[str, Array]) -> torch.Tensor:
    names = list(node.input)
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bias = known[names[8]] * known[names[1]].astype(np.float64) * known[names[4]]
    weight = _meant(known, names[3:6], 0)
    places = given["strides"], given["pads"][:2], 1, given["group"]
    return functional.conv2d(values[names[0]], weight, torch.from_numpy(bias), *places)


def _added(node: onnx.NodeProto, values: Values, known: dict[str, Array]) -> torch.Tensor:
    names = list(node.input)
    other = values[names[3]] if names[3] in values else _meant(known, names[3:6], 0)
    return values[names[0]] + other


FLOAT_OPERATORS: dict[str, tuple[int, Callable[..., torch.Tensor]]] = {
    "DequantizeLinear": (0, lambda node, values, _: values[node.input[0]]),
    "QLinearAdd": (6, _added),
    "QLinearConv": (6, _convolved),
    "QLinearGlobalAveragePool": (
        3,
        lambda node, values, _: values[node.input[0]].mean((2, 3), keepdim=True),
    ),
    "QLinearMatMul": (
        6,
        lambda node, values, known: values[node.input[0]] @ _meant(known, list(node.input[3:6]), 1),
    ),
    "QuantizeLinear": (1, lambda node, values, _: values[node.input[0]]),
    "Reshape": (0, lambda node, values, _: values[node.input[0]].flatten(1)),
}
"""Where the result's scale and zero stand, and what it is in floats; the rest computes a shape."""


def _meant(known: dict[str, Array], names: list[str], axis: int) -> torch.Tensor:
    level, scale, zero = (known[name].astype(np.float64) for name in names)
    shape = [-1 if i == axis else 1 for i in range(level.ndim)]
    if scale.ndim:
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return torch.from_numpy((level - zero) * scale)


def _levels(proto: onnx.ModelProto, x: Array) -> dict[str, Array]:
    names = [n.output[0] for n in proto.graph.node if n.op_type.startswith(("QLinear", "Quantize"))]
    told = onnx.ModelProto()
    told.CopyFrom(proto)
    told.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(
        told.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, {"input": x}), strict=True))


# A recurrent network with a state and branches


def test_stateful_network_predicts_and_is_refused_for_its_state():
    model = served(STATEFUL)
    assert set(model.methods.values()) == {
        "input 'state' has no axis for the rows, so that it is not known which of its values a row "
        "has; models whose inputs all begin with the rows can be explained"
    }
    outputs = model.run(
        {
            "input": np.zeros((1, 576), np.float32),
            "state": np.zeros((2, 1, 128), np.float32),
            "sr": np.array(16000, np.int64),
        }
    )
    assert outputs["output"].shape == (1, 1)
    assert outputs["stateN"].shape == (2, 1, 128)
