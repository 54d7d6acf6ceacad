"""Scan, with every operand, result, axis and direction, in float64 against slopes and torch."""

import numpy as np
import pytest
import torch
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from candor.autodiff import gradient, prepare
from candor.errors import UnsupportedOperator
from gradcheck.check import has_the_slope, in_runtime
from gradcheck.networks import SEED

DOUBLE = TensorProto.DOUBLE


def node(op: str, reads: str, writes: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, reads.split(), writes.split(), **attributes)


def kinds(shapes: dict[str, list], dtype: int = DOUBLE) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, dtype, shape) for name, shape in shapes.items()]


def body(nodes: list[NodeProto], reads: dict[str, list], writes: str, *more: object) -> GraphProto:
    outputs = [helper.make_tensor_value_info(name, DOUBLE, None) for name in writes.split()]
    return helper.make_graph(nodes, "step", kinds(reads), outputs, list(more))


def model_of(
    nodes: list[NodeProto],
    inputs: dict[str, list],
    outputs: str,
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 18,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "loop",
        kinds(inputs),
        [helper.make_empty_tensor_value_info(name) for name in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


LEAK = 0.3
INTO = [
    node("MatMul", "h r", "from_h"),
    node("MatMul", "x w", "from_x"),
    node("Add", "from_h from_x", "into"),
    node("Tanh", "into", "bent"),
]
LEAKY = [
    *INTO,
    node("Mul", "bent leak", "new"),
    node("Mul", "h rest", "old"),
    node("Add", "new old", "h_next"),
]


def reservoir(rng: np.random.Generator, *, stacked: str, **attributes: object) -> ModelProto:
    """A leaky echo-state network: x [t n 3] and h [n 4] to h_last [n 4] and y [t n 4]."""
    nodes = [*LEAKY, *([node("Identity", "h_next", "row")] if stacked == "row" else [])]
    step = body(nodes, {"h": ["n", 4], "x": ["n", 3]}, f"h_next {stacked}")
    constants = {
        "r": rng.standard_normal((4, 4)) / 2,
        "w": rng.standard_normal((3, 4)),
        "leak": np.array(LEAK),
        "rest": np.array(1 - LEAK),
    }
    loop = node("Scan", "h0 xs", "h_last y", body=step, num_scan_inputs=1, **attributes)
    return model_of([loop], {"h0": ["n", 4], "xs": ["t", "n", 3]}, "h_last y", constants)


def assert_slope(model: ModelProto, **point: np.ndarray) -> None:
    try:
        has_the_slope(model, point, np.random.default_rng(SEED))
    except AssertionError as error:
        raise AssertionError(f"CANDOR_SEED={SEED}: {error}") from error


@pytest.mark.parametrize("stacked", ["row", "bent", "old"])
@pytest.mark.parametrize("into", [0, 1])
@pytest.mark.parametrize("out", [0, 1])
def test_an_echo_state_network_in_any_direction(stacked: str, into: int, out: int):
    rng = np.random.default_rng(SEED)
    model = reservoir(
        rng, stacked=stacked, scan_input_directions=[into], scan_output_directions=[out]
    )
    assert_slope(model, h0=rng.standard_normal((2, 4)), xs=rng.standard_normal((5, 2, 3)))


@pytest.mark.parametrize("axes", [((0, 0), (0, 0)), ((1, 2), (1, 2)), ((-1, -2), (-2, -1))])
@pytest.mark.parametrize("directions", [((0, 0), (0, 0)), ((0, 1), (1, 0)), ((1, 1), (1, 1))])
def test_several_states_rows_and_stacks_along_any_axis(axes: tuple, directions: tuple):
    """Two states, of which one is scaled by a value around the loop, and two of each else."""
    step = body(
        [
            node("Mul", "a x", "ax"),
            node("Sigmoid", "ax", "gated"),
            node("Mul", "gated factor", "a_next"),
            node("Add", "b u", "bu"),
            node("Sin", "bu", "bent"),
            node("Mul", "bent a", "b_next"),
            node("Sub", "b_next x", "p"),
            node("Mul", "p factor", "q"),
        ],
        {"a": [2, 3], "b": [2, 3], "x": [2, 3], "u": [2, 3]},
        "a_next b_next p q",
    )
    loop = node(
        "Scan",
        "a0 b0 xs us",
        "a_last b_last ps qs",
        body=step,
        num_scan_inputs=2,
        scan_input_axes=axes[0],
        scan_output_axes=axes[1],
        scan_input_directions=directions[0],
        scan_output_directions=directions[1],
    )
    doubled = node("Add", "f f", "factor")
    rng = np.random.default_rng(SEED)

    def rows(axis: int) -> np.ndarray:
        return np.stack(list(rng.standard_normal((4, 2, 3))), axis)

    point = {
        "a0": rng.standard_normal((2, 3)),
        "b0": rng.standard_normal((2, 3)),
        "xs": rows(axes[0][0]),
        "us": rows(axes[0][1]),
        "f": rng.standard_normal((2, 3)),
    }
    shapes = {name: list(value.shape) for name, value in point.items()}
    outputs = "a_last b_last ps qs"
    assert_slope(model_of([doubled, loop], shapes, outputs), **point)
    free = {name: [f"{name}_{i}" for i in range(len(shape))] for name, shape in shapes.items()}
    assert_slope(model_of([doubled, loop], free, outputs), **point)


def test_states_that_count_stay_or_swap_and_values_that_are_given_out_twice():
    step = helper.make_graph(
        [
            node("Add", "n one", "n_next"),
            node("Cast", "n", "weight", to=DOUBLE),
            node("Mul", "x weight", "weighed"),
            node("Mul", "weighed kept", "p"),
            node("Add", "p second", "q"),
            node("Identity", "q", "q_row"),
            # ONNX Runtime 1.31 computes nonsense where an input of the body is its output
            node("Identity", "kept", "kept_next"),
            node("Identity", "second", "first_next"),
            node("Identity", "first", "first_row"),
        ],
        "step",
        [
            *kinds({"n": []}, TensorProto.INT64),
            *kinds({"kept": [3], "first": [3], "second": [3], "x": [3]}),
        ],
        [
            *kinds({"n_next": []}, TensorProto.INT64),
            *kinds({name: [3] for name in ("kept_next", "first_next", "q", "q_row", "first_row")}),
        ],
    )
    loop = node(
        "Scan", "start kept0 a b xs", "n_last k_last a_last b_last qs before",
        body=step, num_scan_inputs=1,
    )  # fmt: skip
    constants = {"start": np.array(2, np.int64), "one": np.array(1, np.int64)}
    rng = np.random.default_rng(SEED)
    point = {name: rng.standard_normal(3) for name in ("kept0", "a", "b")}
    point["xs"] = rng.standard_normal((4, 3))
    shapes = {name: list(value.shape) for name, value in point.items()}
    assert_slope(model_of([loop], shapes, "k_last a_last b_last qs before", constants), **point)


def test_a_body_of_an_older_operator_set():
    step = body(
        [
            node("Squeeze", "x", "flat", axes=[0]),
            node("Mul", "flat s", "m"),
            node("ReduceSum", "m", "total", axes=[0], keepdims=1),
            node("Add", "s total", "s_next"),
            node("Identity", "s_next", "row"),
        ],
        {"s": [3], "x": [1, 3]},
        "s_next row",
    )
    loop = node("Scan", "s0 xs", "last rows", body=step, num_scan_inputs=1)
    rng = np.random.default_rng(SEED)
    model = model_of([loop], {"s0": [3], "xs": ["t", 1, 3]}, "last rows", opset=11)
    upgraded = prepare(model).finish(["last", "rows"])
    assert_slope(upgraded, s0=rng.standard_normal(3), xs=rng.standard_normal((4, 1, 3)))


def test_the_states_of_an_echo_state_network_through_time():
    rng = np.random.default_rng(SEED)
    model = reservoir(rng, stacked="row")
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
    graph = prepare(model)
    bars = {
        name: graph.add_input(f"{name}_bar", DOUBLE, graph.shape(name) or ())
        for name in ("h_last", "y")
    }
    pulled = gradient(graph, bars, ["xs"], states=["y"])
    run = in_runtime(graph.finish([pulled["y"], pulled["xs"]]))
    point = {"h0": rng.standard_normal((2, 4)), "xs": rng.standard_normal((5, 2, 3))}
    point |= {"h_last_bar": rng.standard_normal((2, 4)), "y_bar": rng.standard_normal((5, 2, 4))}
    h, states = torch.from_numpy(point["h0"]), []
    xs = torch.from_numpy(point["xs"]).requires_grad_()
    for x in xs:
        h = (1 - LEAK) * h + LEAK * torch.tanh(h @ weights["r"] + x @ weights["w"])
        states.append(h)
    total = (h * torch.from_numpy(point["h_last_bar"])).sum()
    total = total + (torch.stack(states) * torch.from_numpy(point["y_bar"])).sum()
    *exact, into_x = torch.autograd.grad(total, [*states, xs])
    found = run(point)
    np.testing.assert_allclose(found[0], torch.stack(exact).numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1], into_x.numpy(), rtol=1e-9, atol=1e-12)


def test_an_operator_of_the_body_without_a_rule_is_refused_by_its_name():
    inner = node("Unique", "x", "found", name="picker")
    step = body([inner, node("Add", "s found", "s_next")], {"s": [3], "x": [3]}, "s_next")
    loop = node("Scan", "s0 xs", "last", body=step, num_scan_inputs=1)
    graph = prepare(model_of([loop], {"s0": [3], "xs": [2, 3]}, "last"))
    bar = graph.add_input("bar", DOUBLE, (3,))
    with pytest.raises(UnsupportedOperator, match=r"Unique.*'picker'"):
        gradient(graph, {"last": bar}, ["xs"])
