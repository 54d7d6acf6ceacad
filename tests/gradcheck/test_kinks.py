"""At ties and kinks a gradient is torch's, to the last bit of which element it goes to."""

import itertools

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from torch.nn import functional

from candor.autodiff import gradient, prepare
from gradcheck.networks import SEED
from gradcheck.test_networks import session

POOLS = [
    (kernel, stride, pad, ceil)
    for kernel, stride in [((3, 3), (2, 2)), ((3, 3), (1, 1)), ((2, 2), (2, 2)), ((5, 3), (3, 1))]
    for pad, ceil in itertools.product((0, 1), (False, True))
]


def pulled(
    node: str, shape: tuple[int | None, ...], bounds: tuple[float, ...] = (), **attributes: object
) -> ModelProto:
    """x, cotangent -> the gradient of one operator in float32, for any number of rows."""
    scalars = [
        helper.make_tensor(f"b{i}", TensorProto.FLOAT, [], [b]) for i, b in enumerate(bounds)
    ]
    made = helper.make_node(node, ["x", *(scalar.name for scalar in scalars)], ["y"], **attributes)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    built = helper.make_graph([made], "one", [given], [result], scalars)
    opset = [helper.make_opsetid("", 22)]  # before, windows in the padding alone were counted
    graph = prepare(helper.make_model(built, opset_imports=opset, ir_version=10))
    graph.add_input("cotangent", TensorProto.FLOAT, graph.shape("y"))
    return graph.finish([gradient(graph, {"y": "cotangent"}, ["x"])["x"]])


@pytest.mark.parametrize("row", [(16, 12, 8), (5, 11, 9)], ids=str)  # blocks of 16 channels or not
@pytest.mark.parametrize(("kernel", "stride", "pad", "ceil"), POOLS, ids=str)
def test_a_maximum_is_the_first_of_its_equals(row, kernel, stride, pad, ceil):
    rng = np.random.default_rng(SEED)
    x = rng.integers(-2, 2, (3, *row)).astype(np.float32)  # four values: ties everywhere
    x[0, 0] = 0.0
    leaf = torch.from_numpy(x).requires_grad_()
    y = functional.max_pool2d(leaf, kernel, stride, pad, ceil_mode=ceil)
    cotangent = rng.integers(-8, 8, tuple(y.shape)).astype(np.float32)  # sums are exact
    (wanted,) = torch.autograd.grad(y, leaf, torch.from_numpy(cotangent))
    model = pulled(
        "MaxPool", row, kernel_shape=kernel, strides=stride, pads=[pad] * 4,
        ceil_mode=int(ceil),
    )  # fmt: skip
    assert not {"ScatterElements"} & {node.op_type for node in model.graph.node}
    for optimised in (True, False):
        ours = session(model, optimised=optimised)
        (found,) = ours.run(None, {"x": x, "cotangent": cotangent})
        np.testing.assert_array_equal(found, wanted.numpy(), err_msg=f"CANDOR_SEED={SEED}")


def test_a_mask_is_exact_beside_its_kinks():
    """One float below six and above zero the mask is one, at zero and six it is none."""
    six, tiny = np.float32(6), np.finfo(np.float32).tiny
    points = [-1, -tiny, 0, tiny, 1e-30, 1, np.nextafter(six, 0, dtype=np.float32), 6, 7, 3e38]
    x = np.array(points, np.float32).reshape(1, 1, 1, -1)
    cotangent = np.full_like(x, 3.0)
    for node, bounds, wanted in (
        ("Relu", (), [0, 0, 0, 3, 3, 3, 3, 3, 3, 3]),
        ("Clip", (0, 6), [0, 0, 0, 3, 3, 3, 3, 0, 0, 0]),
    ):
        model = pulled(node, x.shape[1:], bounds)
        feeds = {"x": x, "cotangent": cotangent}
        (found,) = session(model).run(None, feeds)
        assert found.reshape(-1).tolist() == wanted, node
