import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from candor.autodiff import Emitter, Graph, apart
from candor.errors import InvalidModel, NotFound
from unit.autodiff.build import model

CHAIN = """(float[n, 3] x) => (float[n, 3] y) {
    h = Relu(x)
    y = Mul(h, w)
    dead = Exp(h)
}"""


def chain() -> Graph:
    return Graph(model(CHAIN, w=np.float32([1, 2, 3])))


def test_values_are_described():
    graph = chain()
    assert (graph.inputs, graph.outputs, graph.opset) == (("x",), ("y",), 18)
    assert graph.shape("x") == ("n", 3)
    assert graph.rank("w") == 1
    assert graph.dtype("w") == TensorProto.FLOAT
    assert graph.producer("h").op_type == "Relu"
    assert graph.producer("x") is None
    assert [node.op_type for node in graph.consumers("h")] == ["Mul", "Exp"]
    np.testing.assert_array_equal(graph.constant("w"), [1, 2, 3])
    assert graph.constant("h") is None
    assert not graph.constant("w").flags.writeable


def test_finish_keeps_only_what_the_outputs_need():
    graph = chain()
    graph.add_input("spare", TensorProto.FLOAT, (None,))
    made = graph.finish(["h"])
    assert [node.op_type for node in made.graph.node] == ["Relu"]
    assert not made.graph.initializer
    assert [value.name for value in made.graph.input] == ["x"]
    assert [value.name for value in made.graph.output] == ["h"]
    assert not made.graph.value_info
    onnx.checker.check_model(made, full_check=True)


def test_finish_sorts_what_was_appended_late():
    graph = chain()
    graph.replace_uses("x", "z")
    graph.append(helper.make_node("Neg", ["x"], ["z"]))
    assert [node.op_type for node in graph.finish(["y"]).graph.node] == ["Neg", "Relu", "Mul"]


def test_a_cycle_is_reported():
    graph = chain()
    graph.replace_uses("x", "y")
    with pytest.raises(InvalidModel, match="cycle"):
        graph.finish(["y"])


def test_a_copy_is_independent():
    graph = chain()
    twin = graph.copy()
    twin.replace_uses("h", "x")
    twin.add_output("x", "again")
    assert graph.producer("y").input[0] == "h"
    assert graph.outputs == ("y",)
    assert twin.shape("h") == graph.shape("h")
    assert twin.constant("w") is not None


def test_large_weights_are_shared_and_not_copied_into_a_program():
    rng = np.random.default_rng()
    w, v = rng.normal(size=(2, 200, 200)).astype(np.float32)
    text = """(float[n, 200] x) => (float[n, 200] y) {
        h = MatMul(x, w)
        z = MatMul(x, v)
        y = Add(h, b)
    }"""
    graph = Graph(model(text, w=w, v=v, b=np.ones(200, np.float32)))
    program, again = graph.apart(["y"]), graph.copy().apart(["h"])
    assert program.model.ByteSize() < 3_000 < w.nbytes < program.size_bytes
    assert list(program.weights) == ["w"]  # v is not needed
    assert again.weights["w"] is program.weights["w"]
    whole = graph.finish(["y"])
    assert apart(whole).model == program.model
    named = {tensor.name: tensor for tensor in whole.graph.initializer}
    assert apart(whole).weights == {"w": named["w"]}
    assert apart(whole).weights["w"] is named["w"]


def test_the_model_it_came_from_is_not_changed():
    source = model(CHAIN, w=np.float32([1, 2, 3]))
    before = source.SerializeToString()
    Graph(source).replace_uses("h", "x")
    assert source.SerializeToString() == before


def test_an_output_can_be_given_a_name():
    graph = chain()
    assert graph.add_output("h", "hidden") == "hidden"
    assert graph.outputs == ("y", "hidden")
    assert graph.shape("hidden") == ("n", 3)


@pytest.mark.parametrize("name", ["x", "w", "h"])
def test_a_name_is_given_once(name):
    with pytest.raises(InvalidModel, match=f"'{name}'"):
        chain().add_input(name, TensorProto.FLOAT, ())


def test_an_unknown_output_is_an_error():
    with pytest.raises(NotFound, match="'nothing'"):
        chain().finish(["nothing"])


def test_values_read_inside_a_branch_are_read():
    graph = Graph(
        model("""(bool b, float[n] x) => (float[n] y) {
        h = Neg(x)
        y = If(b) <then_branch = g1 () => (float[n] t) { t = Exp(h) },
                   else_branch = g2 () => (float[n] e) { e = Identity(h) }>
    }""")
    )
    assert [node.op_type for node in graph.consumers("h")] == ["If"]
    graph.replace_uses("h", "x")
    assert [node.op_type for node in graph.finish(["y"]).graph.node] == ["If"]


def test_emitted_nodes_have_names_types_and_are_not_repeated():
    graph = chain()
    op = Emitter(graph, "p")
    first = op.Mul("x", 2.0)
    assert op.Mul("x", 2.0) == first
    assert op.Mul("x", 3.0) != first
    assert first.startswith("p/Mul")
    assert graph.shape(first) == ("n", 3)
    assert graph.dtype(op.Cast(first, to=TensorProto.DOUBLE)) == TensorProto.DOUBLE


def test_operands_become_constants_of_the_right_type():
    graph = chain()
    op = Emitter(graph, "p")
    doubled = op.Mul("x", 2)
    assert graph.constant(graph.producer(doubled).input[1]).dtype == np.float32
    shaped = op.Reshape("x", [3, -1])
    np.testing.assert_array_equal(graph.constant(graph.producer(shaped).input[1]), [3, -1])
    assert graph.shape(op.ReduceSum("x", [0], keepdims=0)) == (3,)
    clipped = op.Clip("x", None, np.float32(1))
    assert list(graph.producer(clipped).input[:2]) == ["x", ""]


def test_several_outputs_are_asked_for_by_count():
    op = Emitter(chain(), "p")
    parts = op.Split("x", axis=1, num_outputs=3, outputs=3)
    assert len(set(parts)) == 3
    assert op.graph.shape(parts[2]) == ("n", 1)
