"""Maps over the states of recurrent layers, against torch with the total derivative by hand.

torch's own layers, like ONNX's, give out all states at once, and the derivative to what they give
out misses what a state does to later ones. So the layers are written out here, a step at a time, in
float64, where each state is a value of its own that keeps its gradient.
"""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from agreement import reference_cam
from candor.explain.cam import cam
from candor.explain.options import GradCam, LayerCam
from candor.explain.question import Question
from candor.result import Array, CamFormula, Geometry, Target
from gradcheck.networks import SEED, build, exported
from programs.networks import compiled, one_hot

SERIES = Geometry("series", 1)
CELLS = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}
NAMES = ["lstm", "gru", "rnn"]


def one_direction(layer: nn.RNNBase, x: torch.Tensor, suffix: str) -> list[torch.Tensor]:
    """The states of all steps in the order of time, each of which keeps its gradient."""
    options = {"nonlinearity": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
    cell = CELLS[type(layer)](layer.input_size, layer.hidden_size, **options).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(layer, f"{name}_l0{suffix}").data.double()
    steps = list(x.unbind(1))
    zeros = torch.zeros(len(x), layer.hidden_size, dtype=torch.float64)
    state: object = (zeros, zeros) if isinstance(layer, nn.LSTM) else zeros
    states = []
    for step in reversed(steps) if suffix else steps:
        state = cell(step, state)
        h = state[0] if isinstance(state, tuple) else state
        h.retain_grad()
        states.append(h)
    return states[::-1] if suffix else states


def states_and_slopes(name: str, x: Array, targets: list[int]) -> tuple[Array, Array]:
    """States and total derivatives of the targets' scores to them, float64 [n, c, 1, t]."""
    module = build(name)
    point = torch.from_numpy(x).double().requires_grad_()
    sides = ["", "_reverse"] if module.memory.bidirectional else [""]
    states = [one_direction(module.memory, point, side) for side in sides]
    h = torch.cat([torch.stack(side, 1) for side in states], 2)
    read = h.mean(1) if module.mean else h[:, -1]
    head = module.head
    scores = read @ head.weight.double().T + head.bias.double()
    with torch.no_grad():
        torch.testing.assert_close(scores.float(), module(torch.from_numpy(x)), atol=1e-5, rtol=0)
    scores[range(len(x)), targets].sum().backward()
    slopes = torch.cat([torch.stack([s.grad for s in side], 1) for side in states], 2)
    return tuple(v.detach().numpy().swapaxes(1, 2)[:, :, None] for v in (h, slopes))


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam"])
@pytest.mark.parametrize("name", NAMES)
def test_map_is_made_of_total_derivatives(name: str, method: CamFormula) -> None:
    """The other two divide by sums of states, which may be next to nothing."""
    subject, blueprint = compiled(exported(name), SERIES, "softmax")
    assert blueprint.anatomy.layer is not None
    rng = np.random.default_rng(SEED)
    x, targets = rng.standard_normal((5, 9, 6), dtype=np.float32), [0, 3, 1, 2, 1]
    layer = subject.cam_layer(method, None)
    _, found = subject.cam(x, one_hot(targets, 4), method, layer, normalise=False)
    states, slopes = states_and_slopes(name, x, targets)
    if method == "grad_cam":
        wanted = (slopes.mean(axis=3, keepdims=True) * states).sum(axis=1)
    else:
        wanted = reference_cam.UNSCALED[method](states, slopes)
    wanted = np.maximum(wanted[:, 0], 0)
    assert found.shape == (5, 9)
    np.testing.assert_allclose(found, wanted, atol=2e-5, err_msg=f"{SEED=}")


def test_a_last_step_that_is_read_does_not_hide_those_before() -> None:
    states, slopes = states_and_slopes("lstm", np.ones((2, 9, 6), np.float32), [0, 1])
    assert (np.abs(slopes).sum(axis=(1, 2)) > 0).all(), "every step acts on the last one"
    subject, _ = compiled(exported("lstm"), SERIES, "softmax")
    layer = subject.cam_layer("hires_cam", None)
    _, found = subject.cam(
        np.ones((2, 9, 6), np.float32), one_hot([0, 1], 4), "hires_cam", layer, normalise=False
    )
    wanted = np.maximum((states * slopes).sum(axis=1)[:, 0], 0)
    np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=f"{SEED=}")


def test_padding_gets_exactly_nothing_and_the_words_what_they_get_without_it() -> None:
    rng = np.random.default_rng(SEED)
    weights = {"table": rng.normal(size=(9, 5)), "kernel": rng.normal(size=(6, 5, 1)),
               "shift": rng.normal(size=6), "head": rng.normal(size=(6, 3))}  # fmt: skip
    text = """<ir_version: 8, opset_import: ["" : 18]> g (int64[n, t] ids) => (float[n, 3] y)
        <int64 pad = {0}, int64[1] one = {1}, int64[1] two = {2}> {
            words = Gather(table, ids)  columns = Transpose <perm = [0, 2, 1]>(words)
            layer = Conv(columns, kernel, shift)  equal = Equal(ids, pad)  some = Not(equal)
            kept = Cast <to = 1>(some)  mask = Unsqueeze(kept, one)  read = Mul(layer, mask)
            total = ReduceSum <keepdims = 0>(read, two)
            n_words = ReduceSum <keepdims = 0>(mask, two)
            mean = Div(total, n_words)  y = MatMul(mean, head) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in weights.items()
    )
    subject, _ = compiled(model, Geometry("tokens", None, pad=0), "softmax")
    ids = rng.integers(1, 9, (1, 7))
    padded = np.pad(ids, ((0, 0), (0, 4)))
    for options in (GradCam("layer"), GradCam("layer", normalise=False), LayerCam("layer")):
        bare, filled = (cam(subject, [Question(x, Target(1))], options)[0] for x in (ids, padded))
        assert (filled.values[7:] == 0).all()
        scale = 1.0 if options.normalise else 7 / 11  # the mean slope is over padding too
        np.testing.assert_allclose(
            filled.values[:7], bare.values * scale, atol=1e-5, err_msg=f"{SEED=}"
        )
