import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, parser
from onnx.reference import ReferenceEvaluator

from candor.autodiff import gradient, prepare
from candor.errors import InvalidModel
from unit.autodiff.build import model

FLATTEN = """(float[n, 2, 3, 4] x) => (float[n, 24] y) {
    s = Shape(x)
    b = Gather <axis = 0>(s, zero)
    u = Unsqueeze(b, axes)
    c = Concat <axis = 0>(u, rest)
    y = Reshape(x, c)
}"""


def ops(built: ModelProto) -> list[str]:
    return [node.op_type for node in built.graph.node]


def test_a_shape_computed_from_the_batch_becomes_a_constant():
    rest = np.array([24])
    graph = prepare(model(FLATTEN, zero=np.array(0), axes=np.array([0]), rest=rest))
    built = graph.finish(["y"])
    assert ops(built) == ["Reshape"]
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 4), np.float32)
    (found,) = ReferenceEvaluator(built).run(None, {"x": x})
    np.testing.assert_array_equal(found, x.reshape(5, 24))


def test_static_extents_are_folded_beside_a_dynamic_batch():
    graph = prepare(
        model(
            """(float[n, 6, 4] x) => (float[k] y) {
        s = Shape(x)
        c = Gather <axis = 0>(s, one)
        h = Div(c, two)
        u = Unsqueeze(h, axes)
        y = ConstantOfShape(u)
    }""",
            one=np.array(1),
            two=np.array(2),
            axes=np.array([0]),
        )
    )
    assert graph.constant(graph.producer("y").input[0]).tolist() == [3]


def test_identity_and_dropout_vanish():
    graph = prepare(
        model("""(float[n] x) => (float[n] y) {
        a = Identity(x)
        b, mask = Dropout(a)
        y = Neg(b)
    }""")
    )
    assert graph.producer("y").input[0] == "x"


def test_an_old_operator_set_is_brought_up_to_date():
    graph = prepare(
        model(
            """(float[n, 3, 4] x) => (float[n, 3] y) {
        y = ReduceMean <axes = [2], keepdims = 0>(x)
    }""",
            opset=11,
        )
    )
    assert graph.opset == 18
    assert graph.constant(graph.producer("y").input[1]).tolist() == [2]


def test_a_newer_operator_set_stays():
    assert prepare(model("(float[n] x) => (float[n] y) { y = Gelu(x) }", opset=20)).opset == 20


def test_functions_are_inlined():
    made = parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "own" : 1]>
        g (float[n] x) => (float[n] y) { y = own.twice(x) }
        <domain: "own", opset_import: ["" : 18]> twice (a) => (b) { b = Add(a, a) }""")
    assert ops(prepare(made).finish(["y"])) == ["Add"]


def test_initialisers_among_the_inputs_are_constants():
    made = model("(float[n] x) => (float[n] y) { y = Mul(x, w) }", w=np.float32([2]))
    made.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [1]))
    assert prepare(made).inputs == ("x",)


def test_weights_that_are_only_moved_are_constants():
    graph = prepare(
        model(
            """(float[n, 4] x) => (float[n, 3] y) {
        t = Transpose <perm = [1, 0]>(w)
        y = MatMul(x, t)
    }""",
            w=np.arange(12, dtype=np.float32).reshape(3, 4),
        )
    )
    assert graph.constant(graph.producer("y").input[1]).shape == (4, 3)


def test_the_given_model_is_not_changed():
    made = model(FLATTEN, zero=np.array(0), axes=np.array([0]), rest=np.array([24]))
    before = made.SerializeToString()
    prepare(made)
    assert made.SerializeToString() == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(float[n] x) => (float[n] y) { y = Neg(z) }", "z"),
        ("(float[n] x) => (float[n] y) { y = Nonsense(x) }", "Nonsense"),
    ],
)
def test_a_broken_model_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidModel, match=reason):
        prepare(model(text))


BRANCHED = """(float[n, 1, 4] x) => (float[n, 4] y) {
    s = Shape <start = 1, end = 2>(x)
    c = Equal(s, one)
    r = If(c) <
        then_branch = yes () => (a) { t = Neg(x) a = Squeeze(t, one) },
        else_branch = no () => (b) { b = Identity(x) }
    >
    y = Relu(r)
}"""


@pytest.mark.parametrize("one", [1, 2])
def test_an_if_whose_condition_is_known_is_its_branch(one):
    graph = prepare(model(BRANCHED, one=np.array([one])))
    taken = ["Neg", "Squeeze", "Relu"] if one == 1 else ["Relu"]
    built = graph.finish(["y"])
    assert ops(built) == taken
    x = np.array([[[1.0, -2.0, 3.0, -4.0]]], np.float32)
    (found,) = ReferenceEvaluator(built).run(None, {"x": x})
    np.testing.assert_array_equal(found.reshape(-1), np.maximum(-x if one == 1 else x, 0).ravel())


def test_attention_becomes_what_it_is_defined_as():
    made = model(
        "(float[n, 2, 5, 4] q, float[n, 2, 5, 4] k) => (float[n, 2, 5, 4] y) "
        "{ y = Attention(q, k, k) }",
        opset=23,
    )
    made.ir_version = 11
    graph = prepare(made)
    assert "Attention" not in {node.op_type for node in graph.nodes}
    graph.add_input("bar", graph.dtype("y"), graph.shape("y"))
    pulled = gradient(graph, {"y": "bar"}, ["q", "k"])
    rng = np.random.default_rng(0)
    q, k, bar = (rng.standard_normal((2, 2, 5, 4), np.float32) for _ in range(3))
    feeds = {"q": q, "k": k, "bar": bar}
    found = ReferenceEvaluator(graph.finish(list(pulled.values()))).run(None, feeds)
    a, b = (torch.from_numpy(value).requires_grad_() for value in (q, k))
    exact = torch.nn.functional.scaled_dot_product_attention(a, b, b)
    (exact * torch.from_numpy(bar)).sum().backward()
    for ours, leaf in zip(found, (a, b), strict=True):
        np.testing.assert_allclose(ours, leaf.grad.numpy(), atol=1e-5)
