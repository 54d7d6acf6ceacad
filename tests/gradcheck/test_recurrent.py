"""Recurrent layers, with every operand, result and attribute, against float64."""

import numpy as np
import pytest
import torch
from onnx import helper

from candor.errors import UnsupportedOperator
from gradcheck.networks import SEED
from gradcheck.recurrences import (
    ACTIVATIONS,
    DIRECTIONS,
    GATES,
    N_ACTIVATIONS,
    Layer,
    draw,
    model_of,
)
from gradcheck.recurrent_check import assert_close, check, compiled, run

NEWEST = 22  # version of LSTM, GRU and RNN

OPTIONS = {
    "LSTM": [
        {},
        {"given": ""},
        {"given": "bhc"},
        {"given": "bhcp"},
        {"given": "bhcl"},
        {"given": "bhcpl"},
        {"given": "bhc", "attributes": {"clip": 0.3}},
        {"given": "bhc", "attributes": {"input_forget": 1}},
        {"given": "bhcpl", "attributes": {"input_forget": 1, "clip": 0.4}},
    ],
    "GRU": [
        {"given": given, "attributes": {"linear_before_reset": linear, **more}}
        for linear in (0, 1)
        for given in ("", "bh", "bhl")
        for more in ({}, {"clip": 0.3})
    ],
    "RNN": [
        {"given": given, "attributes": attributes}
        for given in ("", "bh", "bhl")
        for attributes in ({}, {"clip": 0.3}, {"clip": -1.0})
    ],
}
RESULTS = [("y",), ("y_h",), ("y_c",), ("y", "y_h", "y_c")]


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(layer, id=f"{i}:{layer}")
        for i, layer in enumerate(
            Layer(op, direction, outputs=outputs, **options)
            for op, listed in OPTIONS.items()
            for options in listed
            for direction in DIRECTIONS
            for outputs in RESULTS
            if (op == "LSTM" or outputs != ("y_c",)) and (outputs == RESULTS[-1] or not options)
        )
    ],
)
def test_gradient_is_that_of_the_equations_in_float64(layer: Layer):
    check(layer, np.random.default_rng(SEED))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_differentiated_in_every_place(op: str, name: str):
    rng = np.random.default_rng(SEED)
    for place in range(N_ACTIVATIONS[op]):
        names = ["Sigmoid", "Tanh", "Tanh"][-N_ACTIVATIONS[op] :]
        names[place] = name
        attributes = {"activations": names}
        if ACTIVATIONS[name][1] is not None:
            attributes["activation_alpha"] = [float(rng.uniform(0.2, 0.8))]
        if ACTIVATIONS[name][2] is not None:
            attributes["activation_beta"] = [float(rng.uniform(0.2, 0.8))]
        check(Layer(op, attributes=attributes), rng)


def any_layer(rng: np.random.Generator) -> Layer:
    """Any combination of everything."""
    op = str(rng.choice(list(GATES)))
    direction = str(rng.choice(list(DIRECTIONS)))
    attributes: dict[str, object] = {}
    if rng.random() < 0.5:
        n = N_ACTIVATIONS[op] * len(DIRECTIONS[direction])
        attributes["activations"] = [str(name) for name in rng.choice(list(ACTIVATIONS), n)]
        attributes["activation_alpha"] = [float(a) for a in rng.uniform(0.1, 0.6, n)]
        attributes["activation_beta"] = [float(b) for b in rng.uniform(0.1, 0.6, n)]
    if rng.random() < 0.3:
        attributes["clip"] = float(rng.uniform(0.1, 1.0))
    if op == "LSTM" and rng.random() < 0.3:
        attributes["input_forget"] = 1
    if op == "GRU" and rng.random() < 0.5:
        attributes["linear_before_reset"] = 1
    optional = "bhlcp" if op == "LSTM" else "bhl"
    outputs = ("y", "y_h", "y_c") if op == "LSTM" else ("y", "y_h")
    kept = [name for name in outputs if rng.random() < 0.6] or [str(rng.choice(outputs))]
    steps, batch, features, hidden = (int(rng.integers(1, top)) for top in (8, 5, 6, 6))
    return Layer(
        op,
        direction,
        attributes,
        "".join(name for name in optional if rng.random() < 0.5),
        tuple(kept),
        steps,
        batch,
        features,
        hidden,
        int(rng.choice([11, 14, 18, NEWEST])),
    )


@pytest.mark.parametrize("index", range(60))
def test_any_combination_of_options_has_the_gradient_of_the_equations(index: int):
    rng = np.random.default_rng([SEED, index])
    check(any_layer(rng), rng)


TORCH = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
ORDERS = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # torch's gates in ONNX's order


def onnx_weights(module: torch.nn.RNNBase, op: str) -> dict[str, np.ndarray]:
    def gates(name: str) -> np.ndarray:
        parts = np.split(getattr(module, name).detach().numpy(), GATES[op])
        return np.concatenate([parts[i] for i in ORDERS[op]]).astype(np.float32)

    suffixes = ["l0", "l0_reverse"] if module.bidirectional else ["l0"]
    stacked = {
        name: np.stack([gates(f"{torch_name}_{suffix}") for suffix in suffixes])
        for name, torch_name in {"w": "weight_ih", "r": "weight_hh"}.items()
    }
    sides = [[gates(f"bias_{side}_{suffix}") for side in ("ih", "hh")] for suffix in suffixes]
    return stacked | {"b": np.stack([np.concatenate(pair) for pair in sides])}


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_padded_sequences_have_the_gradient_of_packed_ones_in_torch(op: str, direction: str):
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    attributes = {"linear_before_reset": 1} if op == "GRU" else {}
    layer = Layer(op, direction, attributes, "bl", ("y", "y_h"), steps=7)
    module = TORCH[op](5, 4, bidirectional=direction == "bidirectional").double()
    values = draw(layer, rng) | onnx_weights(module, op)
    values["l"] = rng.permutation([7, int(rng.integers(1, 7)), 2]).astype(np.int32)
    session = compiled(model_of(layer, values), ["y", "y_h"], ["x"])
    x = torch.from_numpy(values["x"]).double().requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.from_numpy(values["l"]).long(), enforce_sorted=False
    )
    y, h = module(packed)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=7)
    results = {
        "y": y.reshape(7, 3, -1, 4).transpose(1, 2),
        "y_h": h[0] if op == "LSTM" else h,
    }
    bars = {n: rng.standard_normal(tuple(results[n].shape), np.float32) for n in results}
    found = run(session, values | {f"{n}_bar": bar for n, bar in bars.items()})
    sum((results[n] * torch.from_numpy(bars[n])).sum() for n in results).backward()
    for name, exact in results.items():
        assert_close(found[name], exact, name)
    assert_close(found["x_grad"], x.grad, "d/dx")


@pytest.mark.parametrize("op", ["LSTM", "RNN"])  # ONNX Runtime 1.31's own GRU aborts on it
def test_an_empty_sequence_has_an_empty_gradient(op: str):
    layer = Layer(op, "bidirectional", outputs=("y", "y_h"), steps=0)
    values = draw(layer, np.random.default_rng(SEED))
    session = compiled(model_of(layer, values), ["y", "y_h"], ["x", "h"], ["y"])
    shapes = {"y_bar": (0, 2, 3, 4), "y_h_bar": (2, 3, 4)}
    bars = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    found = run(session, values | bars)
    assert found["x_grad"].shape == (0, 3, 5)
    assert found["y_grad"].shape == (0, 2, 3, 4)
    np.testing.assert_array_equal(found["h_grad"], bars["y_h_bar"])


def test_weights_may_be_computed_in_the_graph():
    layer = Layer("LSTM", "bidirectional", given="bhcp")
    rng = np.random.default_rng(SEED)
    values = draw(layer, rng)
    model = model_of(layer, values)
    constant = compiled(model, ["y"], ["x"])
    for tensor in model.graph.initializer:
        kind = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(kind)
    del model.graph.initializer[:]
    feeds = values | {"y_bar": rng.standard_normal((6, 2, 3, 4), np.float32)}
    given = run(compiled(model, ["y"], ["x"]), feeds)
    assert_close(given["x_grad"], torch.from_numpy(run(constant, feeds)["x_grad"]).double(), "x")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Layer("LSTM", attributes={"activations": ["Sigmoid", "Mish", "Tanh"]}), "'Mish'"),
        (Layer("GRU", attributes={"layout": 1}), "layout 1"),
    ],
)
def test_what_is_not_built_is_refused_by_name(layer: Layer, reason: str):
    values = draw(layer, np.random.default_rng(SEED))
    with pytest.raises(UnsupportedOperator, match=f"{layer.op} .*'layer'.*{reason}"):
        compiled(model_of(layer, values), ["y_h"], ["x"])


def test_only_results_that_hold_states_are_differentiated_through_time():
    layer = Layer("LSTM")
    values = draw(layer, np.random.default_rng(SEED))
    with pytest.raises(UnsupportedOperator, match="'y_h' holds no states"):
        compiled(model_of(layer, values), ["y_h"], ["x"], ["y_h"])
