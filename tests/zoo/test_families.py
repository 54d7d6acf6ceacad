"""Every network of the table, untrained: the export answers as torch does, padding is nothing."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from packaged import rows_for, waves
from zoo.fold import fold_norms
from zoo.networks.logmel import BEYOND, FFT, FLOOR, HOP, WINDOW, LogMel
from zoo.networks.reservoir import EchoStateNetwork, ReservoirSize, read_out
from zoo.publish import export
from zoo.sets.samples import Samples
from zoo.table import TABLE

RAGGED = [name for name, model in TABLE.items() if model.ragged]


@pytest.fixture(scope="module")
def exported():
    """Make each network once: (network, its ONNX model, rows)."""
    made = {}

    def make(name):
        if name not in made:
            model = TABLE[name]
            rows = rows_for(model)
            torch.manual_seed(0)
            net = model.network(rows).train()
            with torch.no_grad():  # batch norms of an untrained network fold to nothing
                net(model.prepare(rows.inputs[:24]))
            made[name] = net.eval(), export(model, net), rows
        return made[name]

    return make


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    made = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = made.get_inputs()[0].name
    return lambda x: made.run(None, {name: x.numpy()})[0]


@pytest.mark.parametrize("name", TABLE)
def test_onnx_answers_as_torch_for_any_batch_and_length(name, exported):
    net, model, rows = exported(name)
    answer = session(model)
    for some in (rows.inputs[:1], rows.inputs[:2], rows.inputs[-4:]):  # of several lengths
        x = TABLE[name].prepare(some)
        with torch.no_grad():
            expected = net(x).numpy()
        np.testing.assert_allclose(answer(x), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", TABLE)
def test_file_is_clean_and_its_axes_are_open(name, exported):
    _, model, _ = exported(name)
    graph = model.graph
    (source,) = graph.input
    dims = source.type.tensor_type.shape.dim
    assert {axis: dims[axis].dim_param for axis in TABLE[name].source.axes} == (
        TABLE[name].source.axes
    )
    assert not graph.value_info
    assert not model.metadata_props
    assert {node.op_type for node in graph.node}.isdisjoint(
        {"Constant", "Identity", "BatchNormalization", "ConstantOfShape", "Dropout", "Loop"}
    )
    named = TABLE[name].names
    assert set(named) <= {value for node in graph.node for value in node.output}
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize(
    ("name", "convolutions", "poolings", "first"),
    [
        ("cifar10-basecnn", 10, 4, 32),
        ("cifar10-study-shallow", 7, 3, 32),
        ("cifar10-study-deep", 20, 5, 32),
        ("cifar10-study-quarter", 10, 4, 8),
        ("cifar10-study-half", 10, 4, 16),
        ("cifar10-study-base", 10, 4, 32),
        ("cifar10-study-double", 10, 4, 64),
        ("cifar10-study-quadruple", 10, 4, 128),
    ],
)
def test_depths_and_widths_are_those_of_the_study(name, convolutions, poolings, first, exported):
    _, model, _ = exported(name)
    kinds = [node.op_type for node in model.graph.node]
    counts = [kinds.count(kind) for kind in ("Conv", "MaxPool", "Gemm")]
    assert counts == [convolutions, poolings, 2]
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    stem = next(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    assert weights[stem][0] == first


@pytest.mark.parametrize("name", RAGGED)
def test_zeros_after_a_row_change_no_answer(name, exported):
    _, model, rows = exported(name)
    answer = session(model)
    for row in rows.inputs[:4]:
        plain = TABLE[name].prepare(row[None])
        for more in (1, 37, 400):
            pad = [0, 0] * (plain.ndim - 2) + [0, more]
            padded = torch.nn.functional.pad(plain, pad)
            np.testing.assert_allclose(answer(plain), answer(padded), rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", [name for name in RAGGED if name.startswith("vowels")])
def test_a_fading_row_goes_where_the_row_of_zeros_is(name, exported):
    _, model, rows = exported(name)
    x = TABLE[name].prepare(rows.inputs[:1])
    answer = session(model)
    np.testing.assert_allclose(answer(1e-9 * x), answer(0 * x), rtol=0, atol=1e-5)


def test_reservoir_is_the_leaky_one_of_the_papers():
    rows = waves(3, 4, 5, 12)
    size = ReservoirSize(hidden=20, leak=0.35)
    torch.manual_seed(1)
    net = EchoStateNetwork(torch.zeros(3), torch.ones(3), 4, size)
    weights = {key: value.double().numpy() for key, value in net.cell.state_dict().items()}
    w, r, b = (weights[f"{part}_l0"][40:] for part in ("weight_ih", "weight_hh", "bias_ih"))
    assert np.abs(np.linalg.eigvals(r)).max() == pytest.approx(size.radius, rel=1e-5)
    series = rows.inputs[0].astype(np.float64)
    series = series[np.any(series, axis=1)]
    state, states = np.zeros(20), []
    for step in series:
        state = 0.65 * state + 0.35 * np.tanh(w @ step + r @ state + b)
        states.append(state)
    found = net.states(torch.from_numpy(rows.inputs[:1]))[0]
    np.testing.assert_allclose(found.numpy(), np.mean(states, axis=0), atol=2e-6)


def test_readout_is_the_ridge_regression_of_its_penalty():
    rows = waves(3, 4, 5, 12)
    torch.manual_seed(2)
    net = EchoStateNetwork(torch.zeros(3), torch.ones(3), 4, ReservoirSize(hidden=30))
    series, classes = torch.from_numpy(rows.inputs), torch.from_numpy(rows.classes)
    penalty, sharpness = read_out(net, series, classes)
    x = net.states(series).double().numpy()
    y = np.eye(4)[rows.classes]
    gram = (x - x.mean(0)).T @ (x - x.mean(0)) + penalty * np.eye(30)
    expected = np.linalg.solve(gram, (x - x.mean(0)).T @ (y - y.mean(0)))
    found = net.head.weight.numpy() / sharpness
    np.testing.assert_allclose(found, expected.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(net(series).numpy().mean(0) / sharpness, y.mean(0), atol=1e-4)


def test_readout_was_chosen_by_leaving_out_each_row():
    rows = waves(3, 4, 5, 12)
    torch.manual_seed(4)
    net = EchoStateNetwork(torch.zeros(3), torch.ones(3), 4, ReservoirSize(hidden=12))
    series, classes = torch.from_numpy(rows.inputs), torch.from_numpy(rows.classes)
    penalty, sharpness = read_out(net, series, classes)
    x, y = net.states(series).double().numpy(), np.eye(4)[rows.classes]

    def left_out(p):
        scores = np.zeros_like(y)
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            centre, offset = x[rest].mean(0), y[rest].mean(0)
            gram = (x[rest] - centre).T @ (x[rest] - centre) + p * np.eye(12)
            weights = np.linalg.solve(gram, (x[rest] - centre).T @ (y[rest] - offset))
            scores[i] = (x[i] - centre) @ weights + offset
        return scores

    def error(p):
        return np.square(left_out(p) - y).mean()

    def entropy(scale):
        logits = torch.from_numpy(scale * left_out(penalty))
        return float(torch.nn.functional.cross_entropy(logits, classes))

    assert error(penalty) < min(error(0.3 * penalty), error(3 * penalty))
    assert entropy(sharpness) < min(entropy(0.8 * sharpness), entropy(1.25 * sharpness))


def test_log_mel_frames_are_those_of_the_fourier_transform():
    torch.manual_seed(3)
    net, wave = LogMel(), torch.randn(1, 1000)
    frames, mask = net(wave)
    padded = np.pad(wave[0].numpy().astype(np.float64), BEYOND)
    starts = range(0, len(padded) - WINDOW + 1, HOP)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = [np.abs(np.fft.rfft(padded[s : s + WINDOW] * window, FFT)) ** 2 for s in starts]
    expected = np.log(np.stack(power, 1).T @ net.triangles[:, :, 0].double().numpy().T + FLOOR)
    np.testing.assert_allclose(frames[0].numpy().T, expected, rtol=0, atol=1e-4)
    assert mask[0, 0].tolist() == [float(np.any(padded[s : s + WINDOW])) for s in starts]


def test_scaling_and_one_hot_are_in_the_graph(exported):
    net, _, rows = exported("adult-mlp")
    seen = []
    net.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(torch.from_numpy(rows.inputs))
    numbers, hot = seen[0][:, :6], seen[0][:, 6:]
    assert hot.shape[1] == 102
    # Each of the eight columns has one category; "Atlantis" is in no list.
    assert hot.sum(1).tolist() == [8, 8, 8, 7]
    np.testing.assert_allclose(numbers.mean(0), 0, atol=1e-5)


def test_folding_keeps_what_follows_a_norm():
    model = TABLE["cifar10-nin"]
    net = model.network(Samples(np.zeros((0, 3, 32, 32)), np.zeros(0, np.int64)))
    folded = fold_norms(net)
    kinds = [type(m).__name__ for m in folded.modules()]
    assert "BatchNorm2d" not in kinds
    assert kinds.count("ReLU") == 8
