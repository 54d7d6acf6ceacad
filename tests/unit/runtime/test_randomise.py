"""Weights shuffled inside a file: which ones, in which order, and what stays."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from candor.runtime.randomise import randomised, weight_layers
from serving import REPOSITORY

MODELS = sorted(path.parent.parent.name for path in REPOSITORY.glob("*/1/model.onnx"))


def load(name: str) -> onnx.ModelProto:
    return onnx.load(REPOSITORY / name / "1" / "model.onnx")


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def model_of(text: str, *tensors: onnx.TensorProto) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def arrays(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}


draw = np.random.default_rng(0)
NETWORK = """net (float[n, 4] x) => (float[n, 3] y) {
    shown = Sub(x, mean)
    a = MatMul(shown, w1)
    b = Add(a, b1)
    wide = BatchNormalization(b, scale, shift, centre, variance)
    c = Relu(wide)
    turned = Transpose(w2)
    d = MatMul(c, turned)
    three = Constant<value = float[3] {0.1, 0.2, 0.3}>()
    e = Add(d, three)
    shape = Constant<value = int64[2] {-1, 3}>()
    y = Reshape(e, shape)
}"""
TENSORS = [
    tensor("mean", draw.normal(size=4).astype(np.float32)),
    tensor("w1", draw.normal(size=(4, 64)).astype(np.float32)),
    tensor("b1", draw.normal(size=64).astype(np.float32)),
    tensor("scale", draw.random(64).astype(np.float32)),
    tensor("shift", draw.normal(size=64).astype(np.float32)),
    tensor("centre", draw.normal(size=64).astype(np.float32)),
    tensor("variance", draw.random(64).astype(np.float32)),
    tensor("w2", draw.normal(size=(3, 64)).astype(np.float32)),
]


def test_layers_are_named_in_order_with_all_that_belongs_to_them():
    first, second = weight_layers(model_of(NETWORK, *TENSORS))
    assert (first.name, first.operator) == ("a", "MatMul")
    assert set(first.tensors) == {"w1", "b1", "scale", "shift", "centre", "variance"}
    assert set(second.tensors) == {"w2", "three"}, "through a transposition; no shape"


def test_only_what_is_named_changes_and_the_original_never():
    proto = model_of(NETWORK, *TENSORS)
    before = proto.SerializeToString()
    first, _ = weight_layers(proto)
    changed = arrays(randomised(proto, first.tensors, 3))
    assert proto.SerializeToString() == before
    for name, values in arrays(proto).items():
        assert np.array_equal(values, changed[name]) == (name not in first.tensors), name


def test_tensors_keep_the_sizes_of_their_numbers_and_lose_their_order():
    proto = model_of(NETWORK, *TENSORS)
    names = {name for layer in weight_layers(proto) for name in layer.tensors}
    before, after = arrays(proto), arrays(randomised(proto, names, 3))
    for name in names - {"three"}:
        assert after[name].dtype == before[name].dtype
        sizes, kept = (np.sort(np.abs(each[name]).ravel()) for each in (before, after))
        np.testing.assert_array_equal(kept, sizes)
        if before[name].ndim == 1:
            np.testing.assert_array_equal(np.sort(after[name]), np.sort(before[name]))
        else:
            assert abs((after[name] > 0).mean() - 0.5) < 0.2
        assert abs(np.corrcoef(before[name].ravel(), after[name].ravel())[0, 1]) < 0.5


def test_a_matrix_without_negative_numbers_stays_so():
    w = np.abs(draw.normal(size=(8, 8))).astype(np.float32)
    proto = model_of("net (float[n, 8] x) => (float[n, 8] y) { y = MatMul(x, w) }", tensor("w", w))
    after = arrays(randomised(proto, ["w"], 0))["w"]
    np.testing.assert_array_equal(np.sort(after.ravel()), np.sort(w.ravel()))


def test_the_seed_decides_and_further_stages_leave_earlier_draws_alone():
    proto = model_of(NETWORK, *TENSORS)
    first, second = weight_layers(proto)
    one = arrays(randomised(proto, second.tensors, 3))["w2"]
    both = arrays(randomised(proto, {*first.tensors, *second.tensors}, 3))["w2"]
    np.testing.assert_array_equal(one, both)
    assert not np.array_equal(one, arrays(randomised(proto, second.tensors, 4))["w2"])


def test_quantised_weights_are_shuffled():
    w = draw.integers(-128, 128, (8, 8)).astype(np.int8)
    proto = model_of(
        """net (float[n, 8] x) => (float[n, 8] y) {
            real = DequantizeLinear(w, s)
            y = MatMul(x, real)
        }""",
        tensor("w", w),
        tensor("s", np.float32(0.1)),
    )
    (layer,) = weight_layers(proto)
    assert layer.tensors == ("w",)
    shuffled = arrays(randomised(proto, layer.tensors, 0))["w"]
    assert shuffled.dtype == np.int8
    assert not np.array_equal(shuffled, w)
    np.testing.assert_array_equal(np.sort(shuffled.ravel()), np.sort(w.ravel()))


def test_weights_that_two_layers_share_go_with_the_later():
    proto = model_of(
        """net (float[n, 4] x) => (float[n, 4] y) {
            a = MatMul(x, w)
            b = Tanh(a)
            y = MatMul(b, w)
        }""",
        tensor("w", draw.normal(size=(4, 4)).astype(np.float32)),
    )
    assert [layer.name for layer in weight_layers(proto)] == ["y"]


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_models_run_with_random_weights(name: str):
    proto = load(name)
    layers = weight_layers(proto)
    assert layers
    names = {tensor for layer in layers for tensor in layer.tensors}
    changed = randomised(proto, names, 0)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(each.SerializeToString(), options) for each in (proto, changed)
    ]
    spec = sessions[0].get_inputs()[0]
    shape = [size if isinstance(size, int) else 7 for size in spec.shape]
    whole = "int" in spec.type
    rows = (
        np.random.default_rng(1).integers(1, 50, shape).astype(np.int64)
        if whole
        else np.random.default_rng(1).random(shape).astype(np.float32)
    )
    before, after = (session.run(None, {spec.name: rows})[0] for session in sessions)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() > 1e-3
