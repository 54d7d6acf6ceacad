"""Every operator set from 11 to the newest that ONNX Runtime loads, and those before.

Two networks hold what changed its signature on the way: Clip, Dropout, Pad, Resize, Split, Squeeze,
Unsqueeze, Reduce*, Softmax, BatchNormalization, TopK, Slice, GroupNormalization. torch exports them
at the versions that it knows, onnx converts them further.
"""

import io
import warnings
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser, version_converter
from torch import nn
from torch.nn import functional

from candor.autodiff import Graph, anatomy, gradient, prepare
from candor.autodiff.prepare import OPSET_FLOOR
from gradcheck.networks import SEED

EXPORTED = 20  # the newest that torch's older exporter writes
OPSETS = range(11, 27)
OLD_OPSETS = (9, 10)
RNG = np.random.default_rng(SEED)


class Pictures(nn.Module):
    """What convolutional networks are made of, and their tensor shuffling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8)
        self.deep, self.instance = nn.Conv2d(8, 8, 3, groups=4), nn.InstanceNorm2d(8, affine=True)
        self.group = nn.GroupNorm(2, 8)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, 3, 16, 16] -> probabilities [n, 4]."""
        x = functional.pad(self.norm(self.stem(x)), (1, 0, 1, 2), mode="reflect")
        x = functional.relu6(4 * x) - functional.pad(x, (0, 0, -1, 1)).clamp(min=-0.3)
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        one, two = self.deep(functional.pad(x, (1, 1, 1, 1))).split([3, 5], dim=1)
        x = x + self.instance(torch.cat([two.tanh(), one], 1))
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = self.group(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = functional.dropout(functional.avg_pool2d(x, 2, count_include_pad=False), 0.5, False)
        squared = (x * x).mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1)
        return self.head(torch.cat([squared, x.amax((2, 3))], 1)).softmax(1)


class Series(nn.Module):
    """What attention and sequence models are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, 8), nn.LayerNorm(8)
        self.mixed, self.head = nn.Linear(8, 24), nn.Linear(11, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, 6, 5] -> scores [n, 3]."""
        h = self.norm(functional.elu(self.embed(x)))
        q, k, v = self.mixed(h).view(-1, 6, 3, 8).unbind(2)
        weights = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1)
        h = functional.gelu(h + weights @ v) + functional.hardswish(h[:, :, :1].expand(-1, -1, 8))
        best = h.sum(2).topk(3, dim=1).values
        peaks = torch.where(h > 0.5, h, h.sigmoid() * h).norm(dim=1)
        return self.head(torch.cat([best.unsqueeze(1), peaks.unsqueeze(1)], 2).squeeze(1))


NETWORKS = {"pictures": (Pictures, (3, 16, 16)), "series": (Series, (6, 5))}


@cache
def module(name: str) -> nn.Module:
    torch.manual_seed(SEED)
    build, row = NETWORKS[name]
    made = build().train()
    with torch.no_grad():
        for _ in range(4):
            made(torch.randn(8, *row))
    return made.eval()


@cache
def reference(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, a cotangent of the scores, and the gradient in float64."""
    _, row = NETWORKS[name]
    x = RNG.standard_normal((4, *row)).astype(np.float32)
    exact = module(name).double()
    leaf = torch.from_numpy(x).double().requires_grad_()
    seen: list[torch.Tensor] = []
    hook = exact.head.register_forward_hook(lambda _m, _i, out: seen.append(out))
    exact(leaf)
    hook.remove()
    bar = RNG.standard_normal(seen[0].shape).astype(np.float32)
    (seen[0] * torch.from_numpy(bar)).sum().backward()
    exact.float()
    assert leaf.grad is not None
    return x, bar, leaf.grad.numpy()


@cache
def exported(name: str, opset: int) -> ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module(name),
            (torch.zeros(2, *NETWORKS[name][1]),),
            buffer,
            dynamo=False,
            opset_version=opset,
            dynamic_axes={"x": {0: "n"}, "scores": {0: "n"}},
            input_names=["x"],
            output_names=["scores"],
        )
    return onnx.load_from_string(buffer.getvalue())


def at_opset(name: str, opset: int) -> ModelProto:
    model = exported(name, min(opset, EXPORTED))
    if opset > EXPORTED:
        model = version_converter.convert_version(model, opset)
    assert version(model) == opset
    return model


def version(model: ModelProto) -> int:
    return next(known.version for known in model.opset_import if known.domain == "")


def loaded(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def with_gradient(graph: Graph) -> ModelProto:
    score = anatomy(graph).score
    graph.add_input("bar", TensorProto.FLOAT, graph.shape(score) or ())
    return graph.finish([score, gradient(graph, {score: "bar"}, ["x"])["x"]])


def assert_agrees(found: np.ndarray, wanted: np.ndarray) -> None:
    """All rows but one, in which a gate may flip, must agree."""
    close = [
        np.mean(np.abs(a - b) <= 1e-5 * np.abs(b).max()) >= 0.999
        for a, b in zip(found, wanted, strict=True)
    ]
    cosine = (found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert sum(close) >= len(close) - 1, f"{SEED=}: {close}"
    assert cosine > 0.99, f"{SEED=}: {cosine}"


@pytest.mark.parametrize(
    ("name", "opset"),
    [
        *((name, opset) for name in NETWORKS for opset in OPSETS),
        # Of these, torch's exporter writes other coordinates of Resize than its own.
        *(("series", opset) for opset in OLD_OPSETS),
    ],
)
def test_gradient_is_that_of_float64_torch(name: str, opset: int):
    model = at_opset(name, opset)
    x, bar, wanted = reference(name)
    graph = prepare(model)
    assert graph.opset == max(opset, OPSET_FLOOR)
    scores, found = loaded(with_gradient(graph)).run(None, {"x": x, "bar": bar})
    plain = loaded(model).run(None, {"x": x})[0]
    if name == "pictures":
        scores = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(scores, plain, atol=1e-5, err_msg=f"{SEED=}")
    assert_agrees(found, wanted)


def test_the_newest_operator_set_is_the_newest_that_loads():
    """A newer runtime loads more: then OPSETS must grow."""

    def loads(opset: int) -> bool:
        node = helper.make_node("Relu", ["x"], ["y"])
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([node], "g", ends[:1], ends[1:])
        imports = [helper.make_opsetid("", opset)]
        try:
            loaded(helper.make_model(graph, opset_imports=imports, ir_version=10))
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            return False
        return True

    assert [loads(opset) for opset in (OPSETS[-1], OPSETS[-1] + 1)] == [True, False]


# Operators whose meaning changed, one by one


@pytest.mark.parametrize("opset", [18, 20, 21, 26])
def test_group_normalization_scales_groups_before_21_and_channels_since(opset: int):
    size = 2 if opset < 21 else 6
    scale, shift = RNG.uniform(0.5, 2, size), RNG.standard_normal(size)
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[n, 6, 4, 3] x) => '
        "(float[n, 6, 4, 3] y) { y = GroupNormalization <num_groups = 2, epsilon = 0.01>(x, s, t) }"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in (("s", scale), ("t", shift))
    )
    graph = prepare(model)
    graph.add_input("bar", TensorProto.FLOAT, ("n", 6, 4, 3))
    built = graph.finish(["y", gradient(graph, {"y": "bar"}, ["x"])["x"]])
    x, bar = RNG.standard_normal((2, 3, 6, 4, 3)).astype(np.float32)
    result, found = loaded(built).run(None, {"x": x, "bar": bar})
    leaf = torch.from_numpy(x).double().requires_grad_()
    weights = [torch.from_numpy(np.repeat(a, 6 // size)) for a in (scale, shift)]
    exact = functional.group_norm(leaf, 2, *weights, eps=0.01)
    (exact * torch.from_numpy(bar)).sum().backward()
    wanted = leaf.grad.numpy()
    np.testing.assert_allclose(result, exact.detach(), atol=1e-5, err_msg=f"{SEED=}")
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max(), err_msg=f"{SEED=}")


OLD = {
    # Until 12 Softmax takes all axes from `axis` on as one; then the one axis.
    "softmax": (11, "h = Softmax <axis = 1>(x) y = Mul(h, h)", "(n, 2, 3, 4)"),
    "log_softmax": (12, "y = LogSoftmax(x)", "(n, 2, 3, 4)"),
    # Attributes that became operands.
    "clip": (8, "h = Clip <min = -0.5, max = 0.7>(x) y = Mul(h, x)", "(n, 2, 3, 4)"),
    "pad": (8, "h = Pad <pads = [0, 1, 0, 0, 0, 0, 0, 2]>(x) y = Mul(h, h)", "(n, 3, 3, 6)"),
    "slice": (9, "h = Slice <axes = [1, 3], starts = [0, -3], ends = [1, -1]>(x) y = Mul(h, h)",
              "(n, 1, 3, 2)"),
    "split": (11, "a, b = Split <axis = 3>(x) y = Mul(a, b)", "(n, 2, 3, 2)"),
    "squeeze": (11, "a = ReduceSum <axes = [1]>(x) b = Squeeze <axes = [1]>(a) "
                    "c = Unsqueeze <axes = [-1]>(b) y = Mul(c, c)", "(n, 3, 4, 1)"),
    "reduce": (12, "a = ReduceL2 <axes = [-1], keepdims = 0>(x) b = ReduceMax <axes = [1, 3]>(x) "
                   "c = ReduceMean <axes = [1]>(a) d = Squeeze <axes = [3]>(b) y = Mul(c, d)",
               "(n, 1, 3)"),
    "dropout": (11, "h = Dropout <ratio = 0.5>(x) y = Mul(h, h)", "(n, 2, 3, 4)"),
    "upsample": (9, "h = Upsample <mode = \"nearest\">(x, scales) y = Mul(h, h)", "(n, 2, 6, 4)"),
    "upsample_linear": (9, "h = Upsample <mode = \"linear\">(x, half) y = Mul(h, h)",
                        "(n, 2, 4, 6)"),
    "resize": (10, "h = Resize <mode = \"nearest\">(x, half) y = Mul(h, h)", "(n, 2, 4, 6)"),
    "resize_linear": (10, "h = Resize <mode = \"linear\">(x, half) y = Mul(h, h)", "(n, 2, 4, 6)"),
    "batch_norm": (8, "h = BatchNormalization <epsilon = 0.1>(x, s, s, s, s) y = Mul(h, h)",
                   "(n, 2, 3, 4)"),
    "broadcast": (7, "h = Mul(x, s3) a = Sum(h, x) y = Mul(a, h)", "(n, 2, 3, 4)"),
    "top_k": (9, "a, b = TopK <k = 2>(x) y = Mul(a, a)", "(n, 2, 3, 2)"),
}  # fmt: skip
"""Version, nodes and result's shape of old forms, of x [n, 2, 3, 4]."""


@pytest.mark.parametrize("name", OLD)
def test_old_forms_are_brought_up_to_date_not_left(name: str):
    """Against slopes of the runtime's own run of the old file, by central differences."""
    opset, nodes, shape = OLD[name]
    model = parser.parse_model(
        f'<ir_version: 7, opset_import: ["" : {opset}]> g (float[n, 2, 3, 4] x) => '
        f"(float[{shape.strip('()')}] y) {{ {nodes} }}"
    )
    weights = {
        "s": np.array([0.5, 2], np.float32),
        "s3": np.array([[0.5], [2], [3]], np.float32),
        "scales": np.array([1, 1, 2, 1], np.float32),
        "half": np.array([1, 1, 1.5, 1.5], np.float32),
    }
    read = {operand for node in model.graph.node for operand in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(array, key) for key, array in weights.items() if key in read
    )
    graph = prepare(model)
    assert graph.opset == OPSET_FLOOR
    graph.add_input("bar", TensorProto.FLOAT, graph.shape("y") or ())
    built = graph.finish(["y", gradient(graph, {"y": "bar"}, ["x"])["x"]])
    x = (RNG.permutation(72).reshape(3, 2, 3, 4) * 0.03 - 1).astype(np.float32)
    plain = loaded(model)
    before = plain.run(None, {"x": x})[0]
    bar = RNG.standard_normal(before.shape).astype(np.float32)
    result, found = loaded(built).run(None, {"x": x, "bar": bar})
    np.testing.assert_allclose(result, before, atol=1e-6)
    for _ in range(3):
        direction = RNG.standard_normal(x.shape).astype(np.float32)
        step = 1e-3 * direction
        ahead, behind = (
            np.vdot(bar.astype(np.float64), plain.run(None, {"x": x + side * step})[0])
            for side in (1, -1)
        )
        slope, along = (ahead - behind) / 2e-3, np.vdot(found, direction)
        scale = np.linalg.norm(found) * np.linalg.norm(direction)
        assert abs(slope - along) <= 2e-3 * scale, f"{SEED=}: slope {slope}, along {along}"
