"""Models without a manifest, made afresh: what the service says, against torch in float64."""

import copy
import secrets
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import parser
from torch import nn

from candor.client import Client
from candor.result import Array
from programs.networks import ConvNet, export
from serving import running
from tolerance import assert_gradients_agree

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)


class Residual(nn.Module):
    """The body of a plain ResNet: strided stem, pooling, two residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.one = nn.Conv2d(8, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 16, 3, padding=1, stride=2)
        self.short = nn.Conv2d(8, 16, 1, stride=2)
        self.last = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, 1, 32, 32] -> probabilities [n, 4]: it ends in a softmax."""
        x = nn.functional.max_pool2d(self.norm(self.stem(x)).relu(), 3, 2, 1)
        x = (x + self.one(x)).relu()
        x = (self.short(x) + self.two(x)).relu()
        return self.last(x.mean((2, 3))).softmax(1)


def scores(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What is explained: the value before a final softmax or sigmoid; one logit counts two."""
    value = module(x)
    if isinstance(module, Residual):
        return value.log()  # the softmax's input, up to a constant of the row
    return torch.cat([-value, value], 1) if value.shape[1] == 1 else value


MODULES = {
    "convolutional": (lambda: ConvNet("mlp"), (3, 24, 24)),
    "residual": (Residual, (1, 32, 32)),
    "tabular": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), (6,)),
    "one_logit": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 1)), (6,)),
}


WEIGHTS = np.array([[1, -2], [3, 4], [-5, 6]], np.float64)
"""Of the models below; float16 and steps of 1/16 hold them exactly."""

OTHERS = {
    "quantised": """<ir_version: 8, opset_import: ["" : 17]> g (float[n, 3] x) => (float[n, 2] y)
        <float s = {0.0625}, int8 z = {0}, float[3, 2] w = {1, -2, 3, 4, -5, 6}> {
            q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  y = MatMul(d, w) }""",
    "half": """<ir_version: 8, opset_import: ["" : 17]> g (float16[n, 3] x) => (float16[n, 2] y)
        <float[3, 2] w = {1, -2, 3, 4, -5, 6}> {
            h = Cast <to = 10>(w)  t = Tanh(x)  y = MatMul(t, h) }""",
    "brain": """<ir_version: 10, opset_import: ["" : 21]>
        g (bfloat16[n, 3] x) => (bfloat16[n, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> {
            f = Cast <to = 1>(x)  t = Tanh(f)  m = MatMul(t, w)  y = Cast <to = 16>(m) }""",
}
"""Of other precisions than float32."""


FIXED = (1, 4)
"""Rows that exports of the first module are fixed to."""


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    torch.manual_seed(SEED)
    return {name: build().eval() for name, (build, _) in MODULES.items()}


@pytest.fixture(scope="module")
def client(
    modules: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    root = tmp_path_factory.mktemp("models")
    for name, module in modules.items():
        folder: Path = root / name / "3"
        folder.mkdir(parents=True)
        onnx.save(export(module, torch.randn(2, *MODULES[name][1])), folder / "model.onnx")
    for size in FIXED:
        folder = root / f"fixed_{size}" / "1"
        folder.mkdir(parents=True)
        file = export(modules["convolutional"], torch.randn(2, *MODULES["convolutional"][1]))
        for value in (*file.graph.input, *file.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = size
        onnx.save(file, folder / "model.onnx")
    for name, model in OTHERS.items():
        (root / name / "1").mkdir(parents=True)
        onnx.save(parser.parse_model(model), root / name / "1" / "model.onnx")
    with (
        running(tmp_path_factory.mktemp("log"), root) as server,
        Client(server.grpc_target) as connected,
    ):
        yield connected


def rows(name: str, n: int) -> Array:
    return RNG.normal(size=(n, *MODULES[name][1])).astype(np.float32)


def autograd(module: nn.Module, x: Array, target: int) -> Array:
    exact = copy.deepcopy(module).double()
    point = torch.from_numpy(x).double().requires_grad_()
    score = scores(exact, point)
    if isinstance(module, Residual):
        # The constant that log-softmax takes off has a gradient of its own: put it back.
        logits = exact.last.register_forward_hook(lambda _m, _i, out: setattr(exact, "seen", out))
        exact(point)
        logits.remove()
        score = exact.seen
    score[:, target].sum().backward()
    assert point.grad is not None
    return point.grad.numpy()


@pytest.mark.parametrize("name", MODULES)
def test_gradient_equals_autograd(client: Client, modules: dict[str, nn.Module], name: str) -> None:
    x = rows(name, 8)
    options = {"gradient": {"reduction": "signed", "channels": "keep"}}
    found = client.explain(name, [options], targets=1, tensors={"x": x})
    values = np.stack([found.of("gradient", row).values for row in range(len(x))])
    assert_gradients_agree(values, autograd(modules[name], x, 1), SEED)


@pytest.mark.parametrize("name", MODULES)
def test_prediction_equals_torch(client: Client, modules: dict[str, nn.Module], name: str) -> None:
    x = rows(name, 3)
    found = client.predict(name, tensors={"x": x})
    with torch.no_grad():
        said = scores(modules[name], torch.from_numpy(x))
    wanted = said.sigmoid() if name == "one_logit" else said.softmax(1)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-5, err_msg=f"seed {SEED}")


@pytest.mark.parametrize("n", [1, 3, 4, 9])
@pytest.mark.parametrize("size", FIXED)
def test_a_fixed_number_of_rows_takes_any_number(client: Client, size: int, n: int) -> None:
    x = rows("convolutional", n)
    free, fixed = (
        client.explain(name, ["grad_cam", "gradient"], targets=1, tensors={"x": x})
        for name in ("convolutional", f"fixed_{size}")
    )
    assert len(fixed.answers) == 2 * n
    for one, other in zip(free.answers, fixed.answers, strict=True):
        np.testing.assert_allclose(
            other.values, one.values, atol=1e-4 * np.abs(one.values).max(), err_msg=f"seed {SEED}"
        )
    said, wanted = (
        client.predict(name, tensors={"x": x}).probabilities
        for name in (f"fixed_{size}", "convolutional")
    )
    np.testing.assert_allclose(said, wanted, atol=1e-5, err_msg=f"seed {SEED}")


@pytest.mark.parametrize("name", MODULES)
def test_integrated_gradients_are_complete(client: Client, name: str) -> None:
    x = rows(name, 1)
    options = {"integrated_gradients": {"n_steps": 1024}}
    answer = client.explain(name, [options], targets=0, tensors={"x": x}).of("integrated_gradients")
    figures = answer.trust["figures"]
    # A change that happens to be small has a large relative gap: measure by what was distributed.
    mass = np.abs(answer.values).sum()
    assert figures["completeness_gap"] < 0.02 * mass, f"seed {SEED}: {figures}"
    np.testing.assert_allclose(answer.values.sum(), figures["change"], atol=0.02 * mass)


def test_difference_of_two_scores_is_a_target(
    client: Client, modules: dict[str, nn.Module]
) -> None:
    x = rows("tabular", 1)
    options = {"gradient": {"reduction": "signed"}}
    found = client.explain("tabular", [options], targets="2-0", tensors={"x": x}).of("gradient")
    module = modules["tabular"]
    wanted = autograd(module, x, 2) - autograd(module, x, 0)
    np.testing.assert_allclose(found.values, wanted[0], atol=1e-5)
    assert (found.target.plus, found.target.minus) == (2, 0)


def test_several_targets_of_one_row_come_in_one_call(client: Client) -> None:
    x = rows("convolutional", 1)
    found = client.explain("convolutional", ["grad_cam"], targets=[[0, 3, "5-1"]], tensors={"x": x})
    assert [answer.target.plus for answer in found.answers] == [0, 3, 5]
    one = client.explain("convolutional", ["grad_cam"], targets=3, tensors={"x": x})
    np.testing.assert_allclose(found.answers[1].values, one.answers[0].values, atol=1e-6)


def test_answer_repeats_word_for_word_from_its_resolved_options(client: Client) -> None:
    x = rows("convolutional", 1)
    first = client.explain("convolutional", [{"lime": {"n_samples": 120, "seed": -1}}],
                           tensors={"x": x}).of("lime")  # fmt: skip
    options = {key: value for key, value in first.trust["options"].items() if value is not None}
    second = client.explain("convolutional", [{"lime": options}], targets=first.target.plus,
                            tensors={"x": x}, cache="bypass").of("lime")  # fmt: skip
    np.testing.assert_array_equal(first.values, second.values)


def test_answers_of_a_quantised_model_say_that_they_are_estimates(client: Client) -> None:
    x = np.array([[0.5, -0.25, 100.0]], np.float32)  # the last is out of the integers' range
    methods = [{"gradient": {"reduction": "signed"}}, "integrated_gradients", "occlusion"]
    found = client.explain("quantised", methods, targets=1, tensors={"x": x})
    for method in ("gradient", "integrated_gradients"):
        warnings = found.of(method).trust["warnings"]
        assert [text for text in warnings if text.startswith("straight-through: ")], warnings
    assert not [text for text in found.of("occlusion").trust["warnings"] if "straight" in text]
    np.testing.assert_allclose(found.of("gradient").values, [-2, 4, 0], rtol=1e-6)
    exact = client.explain("tabular", ["gradient"], tensors={"x": rows("tabular", 1)})
    assert not [text for text in exact.of("gradient").trust["warnings"] if "straight" in text]


def test_half_precision_is_predicted_to_the_byte_and_explained(client: Client) -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float16)
    session = onnxruntime.InferenceSession(
        parser.parse_model(OTHERS["half"]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    plain = session.run(None, {"x": x})[0]
    predicted = client.predict("half", tensors={"x": x}, outputs=["y"]).outputs["y"]
    assert predicted.dtype == np.float16
    assert predicted.tobytes() == plain.tobytes()
    _assert_slope_of_tanh(client, "half", x)


def test_bfloat16_is_predicted_and_explained(client: Client) -> None:
    x = (0.3 * RNG.normal(size=(4, 3))).astype(ml_dtypes.bfloat16)
    predicted = client.predict("brain", tensors={"x": x}, outputs=["y"]).outputs["y"]
    wanted = np.tanh(x.astype(np.float64)) @ WEIGHTS
    assert predicted.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(predicted.astype(np.float64), wanted, rtol=2**-7, atol=2**-7)
    _assert_slope_of_tanh(client, "brain", x)


def _assert_slope_of_tanh(client: Client, name: str, x: Array) -> None:
    methods = [{"gradient": {"reduction": "signed"}}, "integrated_gradients", "lime", "occlusion"]
    found = client.explain(name, methods, targets=0, tensors={"x": x})
    slope = (1 - np.tanh(x.astype(np.float64)) ** 2) * WEIGHTS[:, 0]
    for row, wanted in enumerate(slope):
        values = found.of("gradient", row).values
        assert values.dtype == np.float32
        # The slope is read off tanh, of 16 bits.
        np.testing.assert_allclose(values, wanted, atol=2**-7, err_msg=f"seed {SEED}")
        assert np.isfinite(found.of("lime", row).values).all()
