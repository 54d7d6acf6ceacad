"""Models of other precisions than float32: forward as the runtime computes it, way back in float32.

Against float64 autograd of the same 16 bit weights. A result of 16 bits is off by 2**-11 of itself,
which now and then moves one over a rectifier's corner, and with it a whole patch of the gradient:
half of all elements must be within 2**-8 of their row's largest, and no row may point elsewhere.
(What the runtime computes between two casts is float32, so that most rows are closer by far.)
"""

import copy
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, parser
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from candor.errors import InvalidModel
from candor.result import Array
from candor.runtime.blueprints import plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.manifest import load_manifest
from candor.runtime.session import Session, SessionPolicy
from gradcheck.networks import NETWORKS, SEED, build

CPU = SessionPolicy(("cpu",))
HALVES = ["lenet", "resnet", "patches", "wave", "lstm", "gru"]
MANIFEST = load_manifest(Path("/no/manifest/there"))
RNG = np.random.default_rng(SEED)


def compiled(model: ModelProto) -> Compiled:
    plan = plan_explanations(model, MANIFEST, None, None)
    return Compiled(
        plan.blueprint,
        plan.geometry,
        lambda made, rows: Session(made, CPU, rows=rows),
        lambda *_: None,
    )


def exported(module: nn.Module, x: torch.Tensor) -> ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (x,),
            buffer,
            dynamo=False,
            dynamic_axes={"x": {0: "n"}, "scores": {0: "n"}},
            input_names=["x"],
            output_names=["scores"],
        )
    return onnx.load_from_string(buffer.getvalue())


def autograd(module: nn.Module, x: Array, target: int) -> tuple[Array, Array]:
    leaf = torch.from_numpy(x).double().requires_grad_()
    scores = copy.deepcopy(module).double()(leaf)
    scores[:, target].sum().backward()
    assert leaf.grad is not None
    return scores.detach().numpy(), leaf.grad.numpy()


def one_hot(n: int, k: int, target: int) -> Array:
    direction = np.zeros((n, k), np.float32)
    direction[:, target] = 1
    return direction


def assert_close(found: Array, wanted: Array) -> None:
    off = [np.abs(a - b) / np.abs(b).max() for a, b in zip(found, wanted, strict=True)]
    assert np.median(off) <= 2**-8, f"{SEED=}: {np.median(off)}"
    for row, (a, b) in enumerate(zip(found, wanted, strict=True)):
        cosine = (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))
        assert cosine > 0.9, f"{SEED=}, row {row}: {cosine}"


@pytest.mark.parametrize("name", HALVES)
def test_half_precision_is_explained(name: str) -> None:
    half = copy.deepcopy(build(name)).half()
    x = RNG.standard_normal((4, *NETWORKS[name].row)).astype(np.float16)
    model = exported(half, torch.from_numpy(x))
    subject = compiled(model)
    direction = one_hot(4, subject.n_classes, 1)
    run = subject.gradient(x, direction, "score")
    scores, wanted = autograd(half, x, 1)
    assert run.gradient.dtype == np.float32
    assert_close(run.gradient, wanted)
    np.testing.assert_allclose(run.scores.score, scores, atol=2**-8, err_msg=f"{SEED=}")
    plain = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"x": x})[0]
    assert plain.dtype == np.float16
    np.testing.assert_array_equal(run.scores.score.astype(np.float16), plain)


def test_half_precision_maps_and_integrals_are_those_of_float32() -> None:
    module = build("resnet").float()
    half = copy.deepcopy(module).half()
    rounded = copy.deepcopy(half).float()
    x = RNG.standard_normal((3, *NETWORKS["resnet"].row)).astype(np.float16)
    one = compiled(exported(half, torch.from_numpy(x)))
    two = compiled(exported(rounded, torch.from_numpy(x).float()))
    x[1] = x[0]
    direction = one_hot(3, one.n_classes, 2)
    direction[1] *= -1  # what speaks against a class in one map speaks for it in the other
    for formula in ("cam", "grad_cam"):
        layers = [subject.cam_layer(formula, None) for subject in (one, two)]
        maps = [
            subject.cam(value, direction, formula, layer, normalise=True)[1]
            for subject, value, layer in zip((one, two), (x, x.astype(np.float32)), layers,
                                             strict=True)
        ]  # fmt: skip
        assert maps[0].dtype == np.float32
        assert maps[1].max() > 0.9
        np.testing.assert_allclose(maps[0], maps[1], atol=2**-5, err_msg=f"{SEED=}, {formula}")
    alphas = np.array([0.25, 0.75], np.float32)
    paths = [
        subject.path(value[:1], np.zeros_like(value[:1]), alphas, direction[:1], "score")
        for subject, value in ((one, x), (two, x.astype(np.float32)))
    ]
    assert_close(paths[0].gradient, paths[1].gradient)
    np.testing.assert_array_equal(paths[0].displacement, x[0].astype(np.float32))


def test_gradients_below_the_range_of_16_bits_are_not_lost() -> None:
    """1e-9 is zero in float16; the scores and every value on the way are not that small."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float16[n, 3] x) => (float16[n, 2] y)
        <float16[3, 4] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float16[4, 2] v = {1,0,1,1,0,1,1,1}> {
            small = Constant <value_float = 0.0001>() less = CastLike(small, x)
            a = MatMul(x, w)  b = Mul(a, less)  c = Relu(b)  d = Mul(c, c)  e = Mul(d, d)
            y = MatMul(e, v) }""")
    x = RNG.uniform(0.5, 1, (2, 3)).astype(np.float16)
    run = compiled(model).gradient(x, one_hot(2, 2, 0), "score")
    w = np.arange(1, 13, dtype=np.float64).reshape(3, 4)
    small = float(np.float16(0.0001))
    c = np.maximum((x.astype(np.float64) @ w).astype(np.float16) * small, 0)
    wanted = (4 * c**3 * np.array([1, 1, 0, 1]) * small) @ w.T
    assert np.abs(wanted).max() < 2**-24, "a smaller example, please"
    np.testing.assert_allclose(run.gradient, wanted, rtol=2e-2)


def test_a_converted_file_with_float32_ends_is_explained() -> None:
    module = build("lenet").float()
    x = RNG.standard_normal((4, *NETWORKS["lenet"].row)).astype(np.float32)
    model = convert_float_to_float16(exported(module, torch.from_numpy(x)), keep_io_types=True)
    assert any(t.data_type == TensorProto.FLOAT16 for t in model.graph.initializer)
    subject = compiled(model)
    run = subject.gradient(x, one_hot(4, subject.n_classes, 1), "score")
    rounded = copy.deepcopy(module).half().float()
    assert_close(run.gradient, autograd(rounded, x.astype(np.float16).astype(np.float32), 1)[1])


def test_double_precision_is_explained() -> None:
    module = copy.deepcopy(build("mlp")).double()
    x = RNG.standard_normal((4, *NETWORKS["mlp"].row))
    subject = compiled(exported(module, torch.from_numpy(x)))
    direction = one_hot(4, subject.n_classes, 1)
    run = subject.gradient(x, direction, "score")
    wanted = autograd(module, x, 1)[1]
    np.testing.assert_allclose(run.gradient, wanted, atol=1e-6 * np.abs(wanted).max())
    alphas = np.array([1.0], np.float32)
    path = subject.path(x[:1], np.zeros_like(x[:1]), alphas, direction[:1], "score")
    np.testing.assert_allclose(path.gradient, wanted[:1], atol=1e-4 * np.abs(wanted).max())


BFLOAT16 = """<ir_version: 10, opset_import: ["" : 21]>
    g (bfloat16[n, 3] x) => (float[n, 2] y)
    <float[3, 2] w = {1, -2, 3, 4, -5, 6}> {
        f = Cast <to = 1>(x)  m = MatMul(f, w)  y = Tanh(m)
    }"""


def test_bfloat16_at_the_input_is_explained() -> None:
    model = parser.parse_model(BFLOAT16)
    numbers = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
    x = (0.1 * RNG.standard_normal((2, 3))).astype(numbers)
    session = Session(model, CPU)
    assert session.inputs[0].datatype == "BF16"
    run = compiled(model).gradient(x, one_hot(2, 2, 1), "score")
    w = np.array([[1, -2], [3, 4], [-5, 6]], np.float64)
    slope = 1 - np.tanh(x.astype(np.float64) @ w)[:, 1:] ** 2
    np.testing.assert_allclose(run.gradient, slope * w[:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), "Conv"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "Gemm"),
    ],
)
def test_bfloat16_that_the_runtime_refuses_is_refused_by_name(
    layer: Callable[[], nn.Module], operator: str
) -> None:
    module = layer().to(torch.bfloat16).eval()
    model = exported(module, torch.zeros(1, 1, 8, 8, dtype=torch.bfloat16))
    with pytest.raises(InvalidModel, match=rf"bfloat16.*{operator}|{operator}.*bfloat16"):
        Session(model, CPU)


@pytest.mark.parametrize("between", ["", "i = Identity(t)"])
def test_a_cast_behind_a_transpose_does_not_end_the_process(between: str) -> None:
    """ONNX Runtime 1.31 dies of this graph while it optimizes it."""
    source = "i" if between else "t"
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float16[n, 9, 6] x, float[6, 20] w) => (float[9, n, 20] y) {{
            t = Transpose <perm = [1, 0, 2]>(x)  {between}
            c = Cast <to = 1>({source})  y = MatMul(c, w) }}""")
    model.graph.input.pop()
    weight = RNG.standard_normal((6, 20)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    x = RNG.standard_normal((2, 9, 6)).astype(np.float16)
    found = Session(model, CPU).run({"x": x})["y"]
    wanted = x.astype(np.float32).transpose(1, 0, 2) @ weight
    np.testing.assert_allclose(found, wanted, atol=1e-4)
