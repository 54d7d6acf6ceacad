import numpy as np
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from candor.autodiff import BLOCKED, NO_GRADIENT, RULES, Graph, gradient, prepare
from candor.autodiff.rules import vjp
from candor.errors import NotFound, Unsupported, UnsupportedOperator
from unit.autodiff.build import model

# y = 3 h * exp(h), h = 2 x: h feeds two paths.
FORKED = """(double[2] x) => (double[2] y) {
    h = Mul(x, two)
    a = Mul(h, three)
    b = Exp(h)
    y = Mul(a, b)
}"""


def forked() -> Graph:
    return prepare(model(FORKED, two=np.array(2.0), three=np.array(3.0)))


def run(graph: Graph, outputs: list[str], **feeds: object) -> list[np.ndarray]:
    built = graph.finish(outputs)
    read = {value.name for value in built.graph.input}
    return ReferenceEvaluator(built).run(None, {k: v for k, v in feeds.items() if k in read})


def test_several_values_one_upstream_of_another():
    graph = forked()
    graph.add_input("bar", TensorProto.DOUBLE, (2,))
    pulled = gradient(graph, {"y": "bar"}, ["h", "x", "a"])
    x, bar = np.array([0.3, -0.4]), np.array([1.0, 2.0])
    h = 2 * x
    of_h, of_x, of_a = run(graph, [pulled[v] for v in "hxa"], x=x, bar=bar)
    np.testing.assert_allclose(of_a, bar * np.exp(h))
    np.testing.assert_allclose(of_h, bar * 3 * np.exp(h) * (1 + h))
    np.testing.assert_allclose(of_x, 2 * of_h)


def test_cotangents_at_several_depths_add_up():
    graph = forked()
    for name in ("y_bar", "h_bar"):
        graph.add_input(name, TensorProto.DOUBLE, (2,))
    pulled = gradient(graph, {"y": "y_bar", "h": "h_bar"}, ["h"])
    x = np.array([0.3, -0.4])
    one, ten = np.ones(2), np.full(2, 10.0)
    (found,) = run(graph, [pulled["h"]], x=x, y_bar=one, h_bar=ten)
    np.testing.assert_allclose(found, 10 + 3 * np.exp(2 * x) * (1 + 2 * x))


def test_the_gradient_of_a_value_by_itself_is_its_cotangent():
    graph = forked()
    graph.add_input("bar", TensorProto.DOUBLE, (2,))
    assert gradient(graph, {"y": "bar"}, ["y"]) == {"y": "bar"}


def test_copies_are_added_up_whose_number_is_known_at_run_time_alone():
    """As where a query for all is tiled to the windows of a batch."""
    graph = prepare(
        model(
            "(double[2, 3] x, int64[2] times) => (double[n, k] y) { y = Tile(x, times) }",
        )
    )
    graph.add_input("bar", TensorProto.DOUBLE, ("n", "k"))
    pulled = gradient(graph, {"y": "bar"}, ["x"])
    bar = np.arange(48.0).reshape(8, 6)
    (found,) = run(graph, [pulled["x"]], x=np.ones((2, 3)), times=np.array([4, 2]), bar=bar)
    np.testing.assert_allclose(found, bar.reshape(4, 2, 2, 3).sum((0, 2)))


def test_only_the_way_between_is_differentiated():
    graph = prepare(
        model(
            """(float[2] x) => (float[2] y) {
        h = Bernoulli(x)
        y = Neg(h)
    }"""
        )
    )
    graph.add_input("bar", TensorProto.FLOAT, (2,))
    assert "h" in gradient(graph, {"y": "bar"}, ["h"])
    with pytest.raises(UnsupportedOperator, match="Bernoulli"):
        gradient(graph, {"y": "bar"}, ["x"])


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ("d = Det(x) y = Expand(d, four)", "Det .*no derivative rule"),
        (
            "a = Loop(m, , x) <body = b (int64 i, bool c, float[2, 2] s) => (bool d, float[2, 2] t)"
            " { d = Identity(c) t = Neg(s) }> y = Neg(a)",
            "Loop .*control flow",
        ),
        ("y = Conv(image, x)", "Conv .*no derivative in its operand 'x'"),
        ("s = Cast <to = 7>(x) y = Cast <to = 1>(s)", "does not depend on 'x'"),
        ("s = Shape(x) y = Cast <to = 1>(s)", "does not depend on 'x'"),
        ("f = Floor(x) y = Neg(f)", "does not depend on 'x'"),
    ],
)
def test_what_cannot_be_differentiated_is_said(nodes, named):
    shape = "4, 1, 1, 1" if "Conv" in nodes else "2, 2"
    result = "a, b, c, d" if "Conv" in nodes else "a" if "Shape" in nodes else "2, 2"
    source = model(
        f"(float[{shape}] x) => (float[{result}] y) {{ {nodes} }}",
        m=np.array(2),
        four=np.array([2, 2]),
        image=np.ones((1, 1, 3, 3), np.float32),
        scale=np.float32(0.1),
        zero=np.uint8(3),
    )
    graph = prepare(source)
    graph.add_input("bar", TensorProto.FLOAT, graph.shape("y") or ())
    with pytest.raises(Unsupported, match=named):
        gradient(graph, {"y": "bar"}, ["x"])


def test_integers_have_no_gradient():
    graph = prepare(model("(int64[2] x) => (float[2] y) { y = Cast <to = 1>(x) }"))
    graph.add_input("bar", TensorProto.FLOAT, (2,))
    with pytest.raises(Unsupported, match="'x' is int64"):
        gradient(graph, {"y": "bar"}, ["x"])


def test_an_unknown_value_is_an_error():
    graph = forked()
    with pytest.raises(NotFound, match="'z'"):
        gradient(graph, {"y": "y"}, ["z"])


def test_an_integer_path_beside_a_float_one_is_left_out():
    graph = prepare(
        model("""(double[2] x) => (double[2] y) {
        i = Cast <to = 7>(x)
        f = Cast <to = 11>(i)
        y = Mul(x, f)
    }""")
    )
    graph.add_input("bar", TensorProto.DOUBLE, (2,))
    pulled = gradient(graph, {"y": "bar"}, ["x"])
    (found,) = run(graph, [pulled["x"]], x=np.array([2.5, 3.5]), bar=np.ones(2))
    np.testing.assert_allclose(found, [2.0, 3.0])


def test_an_operator_has_one_entry_in_the_tables():
    assert not RULES.keys() & BLOCKED.keys()
    assert not NO_GRADIENT & (RULES.keys() | BLOCKED.keys())
    with pytest.raises(ValueError, match="Relu"):
        vjp("Relu")(RULES["Relu"].apply)


@pytest.mark.parametrize("step", [1, 2])
def test_a_slice_may_start_where_another_input_says(step):
    text = """(double[n, 7] x, int64[1] start) => (double[n, m] y) {
        y = Slice(x, start, end, axis, step)
    }"""
    graph = prepare(model(text, end=np.array([6]), axis=np.array([1]), step=np.array([step])))
    graph.add_input("bar", TensorProto.DOUBLE, ("n", None))
    pulled = gradient(graph, {"y": "bar"}, ["x"])
    for start in (0, 3, -5):
        expected = np.zeros((2, 7))
        expected[:, start:6:step] = 1 + np.arange(expected[:, start:6:step].shape[1])
        feeds = {"x": np.zeros((2, 7)), "start": np.array([start])}
        (found,) = run(graph, [pulled["x"]], bar=expected[:, start:6:step], **feeds)
        np.testing.assert_array_equal(found, expected)
