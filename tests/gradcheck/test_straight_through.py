"""Quantised models: straight-through estimates against fake quantisation and float twins."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser
from onnxruntime import quantization
from torch import nn

from candor.autodiff import anatomy, gradient, prepare
from candor.autodiff.quantised import STANDS_FOR
from candor.errors import UnsupportedOperator
from gradcheck.networks import SEED
from gradcheck.quantised import CASES, IntegerCase, float_twin, quantised_model

CHANNELS = 3
RNG = np.random.default_rng(SEED)
ROUNDED = {"com.microsoft.QLinearSigmoid", "com.microsoft.QLinearSoftmax"}
"""Operators whose slope is read off their result, which the integers round to 1/256."""


def ran(model: ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def differentiated(model: ModelProto, wrt: str = "x") -> ModelProto:
    """The model with a cotangent `bar` of its first output, and the gradient at an input."""
    graph = prepare(model)
    result = graph.outputs[0]
    graph.add_input("bar", TensorProto.FLOAT, (None,) * (graph.rank(result) or 0))
    pulled = gradient(graph, {result: "bar"}, [wrt])[wrt]
    return graph.finish([result, pulled])


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float((one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two))


# QuantizeLinear and DequantizeLinear


def model_of(opset: int, body: str, **parameters: np.ndarray) -> ModelProto:
    made = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> '
        f"g (float[n, 3, 4] x) => (float[n, 3] y) {{ h = Mul(x, two) {body} "
        "e = Mul(d, d) y = ReduceSum <keepdims = 0>(e, axes) }"
    )
    weights = {"two": np.float32(2), "axes": np.array([2]), **parameters}
    made.graph.initializer.extend(
        value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), key)
        for key, value in weights.items()
    )
    return made


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per_tensor", "per_channel"])
def test_gradient_is_that_of_fake_quantisation(integer, per_channel):
    low, high = np.iinfo(integer).min, np.iinfo(integer).max
    size = CHANNELS if per_channel else ()
    steps = (high - low) / 255
    scale = (RNG.uniform(0.01, 0.02, size) / steps).astype(np.float32)
    zero = RNG.integers(0, 20, size).astype(integer)
    body = "q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z)"
    model = model_of(21, body, s=scale, z=zero)
    found = anatomy(prepare(model))
    assert found.straight_through
    x = RNG.standard_normal((5, CHANNELS, 4)).astype(np.float32)  # twice that saturates
    bar = RNG.standard_normal((5, CHANNELS)).astype(np.float32)
    scores, ours = ran(differentiated(model), {"x": x, "bar": bar})

    leaf = torch.from_numpy(x).requires_grad_()
    if per_channel:
        points = torch.from_numpy(zero.astype(np.int32))
        faked = torch.fake_quantize_per_channel_affine(
            leaf * 2, torch.from_numpy(scale), points, 1, int(low), int(high)
        )
    else:
        faked = torch.fake_quantize_per_tensor_affine(
            leaf * 2, float(scale), int(zero), int(low), int(high)
        )
    expected = (faked**2).sum(2)
    (expected * torch.from_numpy(bar)).sum().backward()
    exact = leaf.grad.numpy()
    level = 2 * x / scale.reshape(-1, 1) + zero.reshape(-1, 1).astype(np.float64)
    # What saturates by less than half a step passes in torch; here it does not, as in a rectifier.
    beyond = np.maximum(low - level, level - high)
    told = (beyond < 0) | (beyond > 0.5)
    assert (exact[told] == 0).any()
    np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-4, err_msg=f"{SEED=}")
    np.testing.assert_allclose(ours[told], exact[told], rtol=1e-4, atol=1e-5, err_msg=f"{SEED=}")


def test_a_range_that_begins_at_zero_is_a_rectifier():
    body = "q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z)"
    model = model_of(18, body, s=np.float32(0.1), z=np.uint8(0))
    x = RNG.uniform(-0.2, 0.2, (64, CHANNELS, 4)).astype(np.float32)
    bar = np.ones((64, CHANNELS), np.float32)
    _, ours = ran(differentiated(model), {"x": x, "bar": bar})
    assert (ours[x < -0.01] == 0).all()
    rounded = np.round(2 * x / np.float32(0.1)) * np.float32(0.1)
    np.testing.assert_allclose(ours[x > 0], (4 * rounded)[x > 0], atol=1e-6, err_msg=f"{SEED=}")


def test_the_ends_of_the_range_pass():
    """White and black pixels of a picture, whose level a float puts just outside."""
    scale = np.float32(1 / 255 / 0.226)
    body = "q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z)"
    model = model_of(18, body, s=scale, z=np.uint8(124))
    ends = np.array([-124, 131], np.float64) * scale * (1 + np.array([[2e-7], [-2e-7]])) / 2
    x = np.resize(ends.astype(np.float32), (2, CHANNELS, 4))
    _, ours = ran(differentiated(model), {"x": x, "bar": np.ones((2, CHANNELS), np.float32)})
    assert (ours != 0).all()


@pytest.mark.parametrize("dtype", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_few_bits_pass_what_does_not_saturate(dtype):
    kind = getattr(TensorProto, dtype)
    most = {"INT4": 7, "UINT4": 7, "FLOAT8E4M3FN": 448, "FLOAT8E5M2": 57344}[dtype]
    scale, zero = np.float32(2 / most), 8 if dtype == "UINT4" else 0
    body = "q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z)"
    model = model_of(21, body, s=scale, z=helper.make_tensor("z", kind, [], [zero]))
    x = RNG.standard_normal((5, CHANNELS, 4)).astype(np.float32)
    bar = np.ones((5, CHANNELS), np.float32)
    faked = ran(model_of(21, body.replace("d =", "y2 =") + " d = Identity(y2)", s=scale,
                         z=helper.make_tensor("z", kind, [], [zero])), {"x": x})[0]  # fmt: skip
    scores, ours = ran(differentiated(model), {"x": x, "bar": bar})
    np.testing.assert_array_equal(scores, faked)
    inside, outside = np.abs(2 * x) < 1.95, np.abs(2 * x) > 2.6
    assert (ours[outside] == 0).all()
    # d y / d x = 2 * 2 * d, and d is h up to half a step of the type
    coarse = 0.5 * scale if "INT" in dtype else np.abs(2 * x[inside]) / 8 + 1e-3
    assert (np.abs(ours[inside] - 8 * x[inside]) <= 4 * coarse + 1e-5).all(), f"{SEED=}"


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_blocks_have_scales_of_their_own(known):
    extent = "4" if known else "m"
    made = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> '
        f"g (float[2, {extent}] x, float[2, b] s) => (float[2, {extent}] y) {{ "
        "q = QuantizeLinear <axis = 1, block_size = 3, output_dtype = 3>(x, s) "
        "y = DequantizeLinear <axis = 1, block_size = 3>(q, s) }"
    )
    scale = np.array([[0.01, 0.1], [0.2, 0.005]], np.float32)
    x = np.array([[1.0, 2.0, -1.5, 2.0], [3.0, 4.0, 5.0, -1.0]], np.float32)
    bar = RNG.standard_normal((2, 4)).astype(np.float32)
    _, ours = ran(differentiated(made), {"x": x, "s": scale, "bar": bar})
    inside = np.array([[1, 0, 0, 1], [1, 1, 1, 0]])
    np.testing.assert_allclose(ours, bar * inside, rtol=1e-6)


def test_a_type_without_range_is_refused_by_name():
    body = "q = QuantizeLinear <output_dtype = 23>(h, s) d = DequantizeLinear(q, s)"
    with pytest.raises(UnsupportedOperator, match=r"QuantizeLinear.*float4e2m1 is not built"):
        differentiated(model_of(23, body, s=np.float32(0.1)))


# Operators on integers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator_on_integers_has_the_derivative_of_its_float_twin(case: IntegerCase):
    x = RNG.uniform(-2.2, 2.2, (3, *case.row)).astype(np.float32)
    level = np.clip(np.round(x / np.float32(0.02)) + 120, 0, 255)
    rounded = ((level - 120) * np.float32(0.02)).astype(np.float32)
    shape = ran(float_twin(case), {"x": rounded})[0].shape
    bar = RNG.standard_normal(shape).astype(np.float32)
    scores, ours = ran(differentiated(quantised_model(case)), {"x": x, "bar": bar})
    twin = differentiated(float_twin(case))
    exact, wanted = ran(twin, {"x": rounded, "bar": bar})
    assert np.abs(scores - exact).max() < 0.26, "they compute something else"
    tolerance = (0.1 if case.op in ROUNDED else 1e-6) * np.abs(wanted).max()
    # A value on a step may also stand on a bound, where the two may round to different sides.
    aside = [ran(twin, {"x": rounded + e, "bar": bar})[1] for e in np.float32([-1e-4, 1e-4])]
    sure = np.all([np.abs(other - wanted) <= tolerance for other in aside], axis=0)
    assert sure.mean() > 0.5, f"{SEED=}"
    np.testing.assert_allclose(ours[sure], wanted[sure], rtol=0, atol=tolerance, err_msg=f"{SEED=}")


def test_every_operator_on_integers_has_a_case():
    assert set(STANDS_FOR) <= {case.op for case in CASES}


# Whole networks, quantised by ONNX Runtime's own tool


class Network(nn.Module):
    """Convolutions with a residual sum, a pooling, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, 3, 16, 16] -> scores [n, 4]."""
        h = nn.functional.max_pool2d(self.one(x).relu(), 2)
        h = (h + self.two(h)).relu()
        return self.head(h.mean((2, 3)))


class Reader(quantization.CalibrationDataReader):
    """Random pictures, for the ranges."""

    def __init__(self) -> None:
        self._rows = iter(RNG.standard_normal((16, 1, 3, 16, 16)).astype(np.float32))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next picture."""
        row = next(self._rows, None)
        return None if row is None else {"x": row}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(SEED)
    module, buffer = Network().eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.randn(2, 3, 16, 16),),
            buffer,
            dynamo=False,
            opset_version=17,
            dynamic_axes={"x": {0: "n"}, "scores": {0: "n"}},
            input_names=["x"],
            output_names=["scores"],
        )
    path = tmp_path_factory.mktemp("quantised") / "float.onnx"
    path.write_bytes(buffer.getvalue())
    return module, path


def pulled(module: nn.Module, x: np.ndarray, bar: np.ndarray) -> np.ndarray:
    leaf = torch.from_numpy(x).double().requires_grad_()
    (module.double()(leaf) * torch.from_numpy(bar)).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per_tensor", "per_channel"])
def test_network_quantised_by_the_runtime_explains_as_the_float_one(network, form, per_channel):
    module, path = network
    target = path.with_name(f"{form}{per_channel}.onnx")
    quantization.quantize_static(
        path,
        target,
        Reader(),
        quant_format=quantization.QuantFormat[form],
        per_channel=per_channel,
        weight_type=quantization.QuantType.QInt8,
    )
    model = onnx.load(target)
    assert {node.op_type for node in model.graph.node} & {"QLinearConv", "DequantizeLinear"}
    found = anatomy(prepare(model))
    assert found.straight_through
    assert found.layer is not None
    x = RNG.standard_normal((6, 3, 16, 16)).astype(np.float32)
    bar = RNG.standard_normal((6, 4)).astype(np.float32)
    _, ours = ran(differentiated(model), {"x": x, "bar": bar})
    exact = pulled(module, x, bar)
    # Gates of rectifiers flip where rounding moves a value over zero; now and then it is one that
    # nearly all of a row depends on.
    similar = [cosine(one, two) for one, two in zip(ours, exact, strict=True)]
    assert np.median(similar) > 0.8, f"{SEED=}: {similar}"
    assert sorted(similar)[1] > 0.3, f"{SEED=}: {similar}"


def test_dynamically_quantised_network_explains_as_the_float_one(network):
    module, path = network
    target = path.with_name("dynamic.onnx")
    quantization.quantize_dynamic(path, target, weight_type=quantization.QuantType.QUInt8)
    model = onnx.load(target)
    operators = {node.op_type for node in model.graph.node}
    assert {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"} <= operators
    assert anatomy(prepare(model)).straight_through
    x = RNG.standard_normal((6, 3, 16, 16)).astype(np.float32)
    bar = RNG.standard_normal((6, 4)).astype(np.float32)
    _, ours = ran(differentiated(model), {"x": x, "bar": bar})
    similar = [cosine(a, b) for a, b in zip(ours, pulled(module, x, bar), strict=True)]
    assert np.median(similar) > 0.8, f"{SEED=}: {similar}"
    assert sorted(similar)[1] > 0.3, f"{SEED=}: {similar}"
