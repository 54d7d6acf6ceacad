import numpy as np
import pytest

from candor.autodiff import Anatomy, Graph, anatomy, prepare
from candor.errors import InvalidModel, NotFound, Unsupported
from unit.autodiff.build import model

RNG = np.random.default_rng(3)
KERNEL = RNG.standard_normal((5, 3, 3, 3), np.float32)
WEIGHT, BIAS = RNG.standard_normal((2, 5), np.float32), RNG.standard_normal(2, np.float32)
BODY = "c = Conv <pads = [1, 1, 1, 1]>(x, kernel) r = Relu(c)"


def picture(head: str, **weights: object) -> Graph:
    given = {"kernel": KERNEL, "w": WEIGHT, "b": BIAS, "wt": WEIGHT.T.copy()} | weights
    text = f"(float[n, 3, 8, 8] x) => (float[n, k] y) {{ {BODY} {head} }}"
    return prepare(model(text, **given))


POOLS = {
    "global": "p = GlobalAveragePool(r) f = Flatten(p)",
    "mean": "f = ReduceMean <keepdims = 0>(r, axes)",
    "mean_kept": "p = ReduceMean(r, negative) f = Reshape(p, flat)",
    "window": "p = AveragePool <kernel_shape = [8, 8]>(r) f = Squeeze(p, axes)",
    "cast": "q = GlobalAveragePool(r) s = Cast <to = 1>(q) f = Flatten(s)",
}
LINEARS = {
    "gemm": "y = Gemm <transB = 1>(f, w, b)",
    "gemm_plain": "y = Gemm(f, wt, b)",
    "gemm_scaled": "y = Gemm <transB = 1, alpha = 2.0, beta = 0.5>(f, w, b)",
    "matmul": "m = MatMul(f, wt) y = Add(b, m)",
    "no_bias": "y = MatMul(f, wt)",
}


@pytest.mark.parametrize("linear", LINEARS)
@pytest.mark.parametrize("pool", POOLS)
def test_a_mean_and_a_linear_layer_are_a_cam_head(pool, linear):
    graph = picture(
        f"{POOLS[pool]} {LINEARS[linear]}",
        axes=np.array([2, 3]),
        negative=np.array([-1, -2]),
        flat=np.array([0, -1]),
    )
    found = anatomy(graph)
    head = found.cam_head
    assert found.cam_refusal is None
    assert (head.layer, head.averaged, head.channel) == ("r", (2, 3), 1)
    scale, shift = (2.0, 0.5) if linear == "gemm_scaled" else (1.0, 1.0)
    np.testing.assert_allclose(graph.constant(head.weight), WEIGHT * scale)
    if linear == "no_bias":
        assert head.bias is None
    else:
        np.testing.assert_allclose(graph.constant(head.bias), BIAS * shift)
    assert [layer.name for layer in found.layers] == ["c", "r"]
    assert found.layer == "r"


def test_a_head_of_half_precision_between_casts_is_one_too():
    graph = picture(
        "p = GlobalAveragePool(r) f = Flatten(p) h = Cast <to = 10>(f) m = MatMul(h, half) "
        "y = Cast <to = 1>(m)",
        half=WEIGHT.T.astype(np.float16),
    )
    head = anatomy(graph).cam_head
    assert (head.layer, head.averaged) == ("r", (2, 3))
    np.testing.assert_array_equal(graph.constant(head.weight), WEIGHT.astype(np.float16))


def test_a_point_convolution_after_the_mean_is_linear():
    graph = picture(
        "p = GlobalAveragePool(r) q = Conv(p, w1, b) y = Flatten(q)", w1=WEIGHT[:, :, None, None]
    )
    np.testing.assert_array_equal(graph.constant(anatomy(graph).cam_head.weight), WEIGHT)


def test_without_a_linear_layer_the_channels_are_the_classes():
    graph = picture("p = GlobalAveragePool(r) y = Flatten(p)")
    head = anatomy(graph).cam_head
    assert (head.layer, head.bias) == ("r", None)
    np.testing.assert_array_equal(graph.constant(head.weight), np.eye(5))


def test_a_mean_over_time_is_a_head_with_the_channels_last():
    graph = prepare(
        model(
            """(float[n, t, 5] x) => (float[n, 2] y) {
        h = Tanh(x)
        f = ReduceMean <keepdims = 0>(h, axes)
        y = Gemm <transB = 1>(f, w, b)
    }""",
            axes=np.array([1]),
            w=WEIGHT,
            b=BIAS,
        )
    )
    head = anatomy(graph).cam_head
    assert (head.layer, head.averaged, head.channel) == ("h", (1,), 2)


def masked(mean: str, width: int = 1) -> Anatomy:
    return anatomy(
        prepare(
            model(
                f"""(float[n, t, 5] x, float[n, t, {width}] mask) => (float[n, 2] y) {{
            h = Tanh(x)
            {mean}
            y = Gemm <transB = 1>(f, w, b)
        }}""",
                axes=np.array([1]),
                channels=np.array([2]),
                one=np.float32(1),
                w=WEIGHT,
                b=BIAS,
            )
        )
    )


SUM = "k = Mul(h, mask) s = ReduceSum <keepdims = 0>(k, axes)"
COUNT = "c = ReduceSum <keepdims = 0>(mask, axes)"


@pytest.mark.parametrize(
    "mean",
    [
        f"{SUM} {COUNT} f = Div(s, c)",
        f"{SUM} {COUNT} least = Clip(c, one) f = Div(s, least)",
        f"{SUM} {COUNT} least = Max(c, one) f = Div(s, least)",
        "k = Mul(mask, h) s = ReduceSum(k, axes) c = ReduceSum(mask, axes) d = Div(s, c) "
        "f = Squeeze(d, axes)",
    ],
)
def test_a_mean_over_what_a_mask_keeps_is_a_head_of_the_masked_layer(mean):
    head = masked(mean).cam_head
    assert (head.layer, head.averaged, head.channel) == ("k", (1,), 2)


@pytest.mark.parametrize(
    ("mean", "width"),
    [
        (f"{SUM} {COUNT} f = Div(s, c)", 5),  # another count for each channel
        (f"{SUM} other = Tanh(mask) c = ReduceSum <keepdims = 0>(other, axes) f = Div(s, c)", 1),
        (f"{SUM} {COUNT} f = Mul(s, c)", 1),
        ("s = ReduceSum <keepdims = 0>(h, axes) " + COUNT + " f = Div(s, c)", 1),
        (f"{SUM} m = ReduceMax <keepdims = 0>(mask, axes) f = Div(s, m)", 1),
    ],
)
def test_what_only_looks_like_a_masked_mean_is_none(mean, width):
    found = masked(mean, width)
    assert found.cam_head is None
    assert "must follow a mean over space" in found.cam_refusal


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (
            "p = GlobalAveragePool(r) f = Flatten(p) g = Gemm <transB = 1>(f, w, b) y = Tanh(g)",
            "found Tanh",
        ),
        ("f = Flatten(r) y = MatMul(f, wide)", "found Relu"),
        ("p = GlobalMaxPool(r) f = Flatten(p) y = MatMul(f, wt)", "found GlobalMaxPool"),
        ("p = GlobalAveragePool(r) f = Flatten(p) s = Relu(f) y = MatMul(s, wt)", "found Relu"),
    ],
)
def test_why_there_is_no_cam_head_is_said(head, reason):
    found = anatomy(picture(head, wide=np.ones((320, 2), np.float32)))
    assert found.cam_head is None
    assert reason in found.cam_refusal


@pytest.mark.parametrize(
    ("tail", "score", "activation"),
    [
        ("y = Softmax(g)", "g", "softmax"),
        ("y = LogSoftmax <axis = 1>(g)", "g", "softmax"),
        ("y = Sigmoid(g)", "g", "sigmoid"),
        ("s = Softmax(g) y = Reshape(s, same)", "g", "softmax"),
        ("y = Neg(g)", "y", "none"),
    ],
)
def test_the_score_stands_before_the_activation(tail, score, activation):
    head = f"{POOLS['global']} g = Gemm <transB = 1>(f, w, b) {tail}"
    found = anatomy(picture(head, same=np.array([-1, 2])))
    assert (found.score, found.activation, found.output) == (score, activation, "y")
    assert found.n_classes == 2


def tokens() -> Graph:
    return prepare(
        model(
            """(int64[n, t] ids, bool[n, t] mask) => (float[n, 2] y) {
        i = Cast <to = 6>(ids)
        e = Gather(table, i)
        m = Cast <to = 1>(mask)
        u = Unsqueeze(m, last)
        h = Mul(e, u)
        f = ReduceSum <keepdims = 0>(h, axes)
        y = Gemm <transB = 1>(f, w, b)
    }""",
            table=RNG.standard_normal((11, 5), np.float32),
            last=np.array([2]),
            axes=np.array([1]),
            w=WEIGHT,
            b=BIAS,
        )
    )


def test_token_ids_are_explained_at_their_embedding():
    found = anatomy(tokens())
    assert (found.inputs, found.explained) == (("ids",), ("e",))
    assert found.layers == ()
    assert found.layer is None


def test_a_layer_can_be_chosen():
    graph = picture(f"{POOLS['global']} {LINEARS['gemm']}")
    assert anatomy(graph, layer="c").layer == "c"
    with pytest.raises(NotFound, match="'conv9'"):
        anatomy(graph, layer="conv9")
    with pytest.raises(Unsupported, match="'f'"):
        anatomy(graph, layer="f")


def two_heads() -> Graph:
    return prepare(
        model(
            """(float[n, 5] x) => (int64[n] label, float[n, 2] a, float[n, 2] b) {
        a = MatMul(x, wt)
        b = Neg(a)
        label = ArgMax <axis = 1, keepdims = 0>(a)
    }""",
            wt=WEIGHT.T.copy(),
        )
    )


def test_the_output_is_the_first_float_one_or_the_one_asked_for():
    assert anatomy(two_heads()).output == "a"
    assert anatomy(two_heads(), output="b").output == "b"
    with pytest.raises(NotFound, match=r"'c'.*'label' int64"):
        anatomy(two_heads(), output="c")
    with pytest.raises(InvalidModel, match="'label' is not float"):
        anatomy(two_heads(), output="label")


def test_what_is_no_classifier_is_refused_with_its_outputs():
    graph = prepare(model("(float[n, 3, 4] x) => (float[n, 3, 4] y) { y = Neg(x) }"))
    with pytest.raises(InvalidModel, match=r"'y' float \[n, 3, 4\]"):
        anatomy(graph)


def test_an_anatomy_is_a_value():
    first: Anatomy = anatomy(two_heads())
    assert first == anatomy(two_heads())


def test_a_layer_under_another_name_or_rank_is_no_further_layer():
    graph = picture(
        f"u = Unsqueeze(r, axes) v = Squeeze(u, axes) "
        f"{POOLS['global'].replace('(r)', '(v)')} {LINEARS['gemm']}",
        axes=np.array([2]),
    )
    assert [layer.name for layer in anatomy(graph).layers] == ["c", "r"]
