import numpy as np
import pytest

from candor.autodiff import gradient, prepare
from candor.autodiff.sizes import over, times
from unit.autodiff.build import model


@pytest.mark.parametrize(
    ("one", "two", "product"),
    [(3, 4, 12), ("n", 4, "4*n"), ("4*n", "m", "4*m*n"), ("n", "n", "n*n"), (0, None, 0)],
)
def test_extents_multiply_and_divide_as_products(one, two, product):
    assert times(one, two) == times(two, one) == product
    if two:
        assert over(product, two) == one


@pytest.mark.parametrize(("one", "two"), [(7, 2), ("n", 2), ("n", "m"), (None, 2), (4, 0)])
def test_a_quotient_that_is_not_certain_is_unknown(one, two):
    assert over(one, two) is None


WINDOWED = """(float[rows, 8, 6] x, float[6, 6] w) => (float[a, b] y) {
    s = Shape(x)
    n = Gather <axis = 0>(s, zero)
    m = Mul(n, four)
    u = Unsqueeze(m, at)
    t = Concat <axis = 0>(u, inner)
    p = Reshape(x, t)
    q = MatMul(p, w)
    h = Shape(q)
    k = Gather <axis = 0>(h, zero)
    d = Div(k, four)
    v = Unsqueeze(d, at)
    o = Concat <axis = 0>(v, outer)
    r = Reshape(q, o)
    z = Add(x, r)
    y = ReduceSum <keepdims = 0>(z, at2)
}"""


def test_a_batch_folded_into_windows_and_out_again_is_the_same_batch():
    given = {"zero": 0, "four": 4, "at": [0], "at2": [1], "inner": [2, 6], "outer": [8, 6]}
    arrays = {name: np.array(value, np.int64) for name, value in given.items()}
    graph = prepare(model(WINDOWED, **arrays))
    assert graph.shape("q") == ("4*rows", 2, 6)
    assert graph.shape("z") == ("rows", 8, 6)
    assert graph.shape("y") == ("rows", 6)
    graph.add_input("bar", graph.dtype("y"), ("rows", 6))
    built = graph.finish([*gradient(graph, {"y": "bar"}, ["x"]).values()])
    assert not {"Shape", "NonZero"} & {node.op_type for node in built.graph.node}
