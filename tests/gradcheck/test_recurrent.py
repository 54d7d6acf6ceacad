"""Recurrent operators, with every operand and result that is built, against torch in float64."""

import itertools

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from candor.autodiff import gradient, prepare
from candor.errors import UnsupportedOperator
from gradcheck.networks import SEED

N, F, H = 3, 5, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DIRECTIONS = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}


def lstm(x, w, r, b, h, c, reverse, **_):
    i, o, f, n = (x @ w.T + h @ r.T + b[: 4 * H] + b[4 * H :]).split(H, -1)
    c = f.sigmoid() * c + i.sigmoid() * n.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(x, w, r, b, h, c, reverse, linear_before_reset=0, **_):
    wx = (x @ w.T + b[: 3 * H]).split(H, -1)
    rz, rr, rh, bz, br, bh = (*r.split(H), *b[3 * H :].split(H))
    z, reset = (wx[0] + h @ rz.T + bz).sigmoid(), (wx[1] + h @ rr.T + br).sigmoid()
    inner = reset * (h @ rh.T + bh) if linear_before_reset else (reset * h) @ rh.T + bh
    return (1 - z) * (wx[2] + inner).tanh() + z * h, c


def rnn(x, w, r, b, h, c, reverse, activations=("Tanh", "Tanh"), **_):
    pre = x @ w.T + h @ r.T + b[:H] + b[H:]
    return {"Tanh": torch.tanh, "Relu": torch.relu}[activations[int(reverse)]](pre), c


CELLS = {"LSTM": lstm, "GRU": gru, "RNN": rnn}


def expected(op, direction, values, options):
    """Y [t d n h], Y_h [d n h], Y_c [d n h], by the equations of the ONNX specification."""
    ys, hs, cs = [], [], []
    for d, reverse in enumerate(DIRECTIONS[direction]):
        h, c = values["h"][d], values["c"][d]
        weights = [values[name][d] for name in "wrb"]
        steps = list(values["x"])
        rows = []
        for x in reversed(steps) if reverse else steps:
            h, c = CELLS[op](x, *weights, h, c, reverse, **options)
            rows.append(h)
        ys.append(torch.stack(rows[::-1] if reverse else rows))
        hs.append(h)
        cs.append(c)
    return torch.stack(ys, 1), torch.stack(hs), torch.stack(cs)


def draw(op: str, n_directions: int, steps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    g = GATES[op]
    shapes = {
        "x": (steps, N, F),
        "w": (n_directions, g * H, F),
        "r": (n_directions, g * H, H),
        "b": (n_directions, 2 * g * H),
        "h": (n_directions, N, H),
        "c": (n_directions, N, H),
    }
    # Small weights: near saturation 1 - y * y has few digits left in float32, in torch's too.
    return {name: rng.standard_normal(shape, np.float32) / 2 for name, shape in shapes.items()}


def model_of(op: str, values: dict[str, np.ndarray], **attributes: object) -> ModelProto:
    """The layer alone: x, h (and c) are inputs, all of its outputs are outputs."""
    states = ["h", "c"] if op == "LSTM" else ["h"]
    outputs = ["y", "y_h", "y_c"][: len(states) + 1]
    node = helper.make_node(
        op, ["x", "w", "r", "b", "", *states], outputs, name="layer", hidden_size=H, **attributes
    )
    n_directions = len(values["h"])
    shapes = {"x": ["t", "n", F], **{name: [n_directions, "n", H] for name in states}}
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(values[name], name) for name in "wrb"],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def compiled(model: ModelProto, scores: list[str]) -> onnxruntime.InferenceSession:
    graph = prepare(model)
    bars = {
        name: graph.add_input(f"{name}_bar", TensorProto.FLOAT, graph.shape(name))
        for name in scores
    }
    wrt = list(graph.inputs[: -len(scores)])
    pulled = gradient(graph, bars, wrt)
    for name in wrt:
        graph.add_output(pulled[name], f"{name}_grad")
    built = graph.finish([f"{name}_grad" for name in wrt])
    return onnxruntime.InferenceSession(
        built.SerializeToString(), providers=["CPUExecutionProvider"]
    )


VARIANTS = [
    ("LSTM", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"linear_before_reset": 0}),
    ("RNN", {}),
    ("RNN", {"activations": ["Relu", "Tanh"]}),
]
CASES = [
    pytest.param(op, options, direction, scores, id=f"{op}{i}-{direction}-{'+'.join(scores)}")
    for i, (op, options) in enumerate(VARIANTS)
    for direction, scores in itertools.product(DIRECTIONS, (["y"], ["y_h"], ["y", "y_h", "y_c"]))
    if not (options.get("activations") and direction != "bidirectional")
]


@pytest.mark.parametrize(("op", "options", "direction", "scores"), CASES)
def test_gradient_of_inputs_and_initial_states_is_that_of_the_equations(
    op, options, direction, scores
):
    values = draw(op, len(DIRECTIONS[direction]), steps=6)
    model = model_of(op, values, direction=direction, **options)
    scores = [name for name in scores if name != "y_c" or op == "LSTM"]
    session = compiled(model, scores)
    leaves = {name: torch.from_numpy(a).double().requires_grad_() for name, a in values.items()}
    results = dict(zip(("y", "y_h", "y_c"), expected(op, direction, leaves, options), strict=True))
    rng = np.random.default_rng(SEED + 1)
    bars = {n: rng.standard_normal(tuple(results[n].shape), np.float32) for n in scores}
    sum((results[n] * torch.from_numpy(bars[n])).sum() for n in scores).backward()
    wrt = [output.name.removesuffix("_grad") for output in session.get_outputs()]
    feeds = {name: values[name] for name in wrt}
    feeds |= {f"{name}_bar": bar for name, bar in bars.items()}
    feeds = {value.name: feeds[value.name] for value in session.get_inputs()}
    for name, found in zip(wrt, session.run(None, feeds), strict=True):
        exact = leaves[name].grad.numpy()
        assert np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max(), f"CANDOR_SEED={SEED}"


@pytest.mark.parametrize("op", ["LSTM", "RNN"])  # ONNX Runtime 1.31's own GRU aborts on it
def test_an_empty_sequence_has_an_empty_gradient(op):
    values = draw(op, 2, steps=0)
    session = compiled(model_of(op, values, direction="bidirectional"), ["y_h"])
    bar = np.ones((2, N, H), np.float32)
    feeds = {**values, "y_h_bar": bar}
    found = session.run(None, {v.name: feeds[v.name] for v in session.get_inputs()})
    assert found[0].shape == (0, N, F)
    np.testing.assert_array_equal(found[1], bar)


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("LSTM", {"clip": 1.0}, "clip"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "Sigmoid, Relu, Tanh"),
        ("RNN", {"activations": ["Affine"]}, "Affine"),
    ],
)
def test_what_is_not_built_is_refused_by_name(op, attributes, reason):
    with pytest.raises(UnsupportedOperator, match=f"{op} .*'layer'.*{reason}"):
        compiled(model_of(op, draw(op, 1, 1), **attributes), ["y"])


def test_sequence_lens_are_refused():
    model = model_of("GRU", draw("GRU", 1, 1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1], np.int32), "lens"))
    model.graph.node[0].input[4] = "lens"
    with pytest.raises(UnsupportedOperator, match="sequence_lens"):
        compiled(model, ["y"])
