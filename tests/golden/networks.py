"""The networks of the golden values in plain numpy: forward, and back to the explained value.

Weights are as torch names and lays them out, so that any other runtime can be given them too.
"""

from collections.abc import Mapping

import numpy as np

from candor.explain.subject import Geometry
from candor.result import Array
from unit.explain.columns import category_column, number_column
from unit.explain.numpy_subject import NumpySubject

Weights = Mapping[str, Array]


def picture_subject(weights: Weights) -> NumpySubject:
    """Two convolutions and a linear head: [n, 3, 12, 12] -> [n, 3]."""

    def score(x: Array) -> Array:
        return _head(weights, _activations(weights, x)[1])

    def pull_back(x: Array, toward: Array) -> Array:
        first, second = _activations(weights, x)
        at_second = to_last_layer(weights, toward).reshape(second.shape) * (second > 0)
        at_first = _unconvolve(at_second, weights["second.weight"], first.shape, 2) * (first > 0)
        return _unconvolve(at_first, weights["first.weight"], x.shape, 1)

    return NumpySubject(score, pull_back)


def last_layer(weights: Weights, x: Array) -> Array:
    """Activations of the second convolution, [n, 6, 4, 4]."""
    return _activations(weights, x)[1]


def to_last_layer(weights: Weights, toward: Array) -> Array:
    """Gradient of the score to the second convolution's activations, flat: [n, 96]."""
    return toward @ weights["head.weight"]


def sentence_subject(weights: Weights) -> NumpySubject:
    """Embedding, LSTM, mean over time, linear head: [n, t] -> [n, 3]; 0 pads, 1 is unknown."""

    def score(value: Array) -> Array:
        hidden = np.stack([step[-1] for step in _steps(weights, value)], axis=1)
        return hidden.mean(axis=1) @ weights["head.weight"].T + weights["head.bias"]

    def pull_back(value: Array, toward: Array) -> Array:
        steps = _steps(weights, value)
        each = toward @ weights["head.weight"] / len(steps)
        d_hidden, d_cell = np.zeros_like(each), np.zeros_like(each)
        gradient = np.zeros_like(value)
        for at in reversed(range(len(steps))):
            i, f, g, o, before, cell, _ = steps[at]
            d_hidden = d_hidden + each
            d_cell = d_cell + d_hidden * o * (1 - np.tanh(cell) ** 2)
            d_gates = np.concatenate(
                [
                    d_cell * g * i * (1 - i),
                    d_cell * before * f * (1 - f),
                    d_cell * i * (1 - g**2),
                    d_hidden * np.tanh(cell) * o * (1 - o),
                ],
                axis=1,
            )
            gradient[:, at] = d_gates @ weights["memory.weight_ih_l0"]
            d_hidden = d_gates @ weights["memory.weight_hh_l0"]
            d_cell = d_cell * f
        return gradient

    geometry = Geometry("tokens", None, pad=0, unknown=1)
    return NumpySubject(score, pull_back, geometry, embedding=weights["embed.weight"])


def record_subject(weights: Weights, training: Array) -> NumpySubject:
    """Tanh and a linear head: [n, 5] -> [n, 3]; columns 2 and 4 are categories."""

    def hidden(x: Array) -> Array:
        return np.tanh(x @ weights["hidden.weight"].T + weights["hidden.bias"])

    def score(x: Array) -> Array:
        return hidden(x) @ weights["head.weight"].T + weights["head.bias"]

    def pull_back(x: Array, toward: Array) -> Array:
        return (toward @ weights["head.weight"] * (1 - hidden(x) ** 2)) @ weights["hidden.weight"]

    columns = tuple(
        category_column(values) if at in (2, 4) else number_column(values)
        for at, values in enumerate(training.T)
    )
    geometry = Geometry("tabular", None, features=tuple("abcde"), columns=columns)
    return NumpySubject(score, pull_back, geometry)


def _activations(weights: Weights, x: Array) -> tuple[Array, Array]:
    first = np.maximum(_convolve(x, weights["first.weight"], weights["first.bias"], 1), 0)
    second = np.maximum(_convolve(first, weights["second.weight"], weights["second.bias"], 2), 0)
    return first, second


def _head(weights: Weights, activations: Array) -> Array:
    flat = activations.reshape(len(activations), -1)
    return flat @ weights["head.weight"].T + weights["head.bias"]


def _convolve(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("ncyxij,kcij->nkyx", windows, kernel) + bias[:, None, None]


def _unconvolve(gradient: Array, kernel: Array, shape: tuple[int, ...], stride: int) -> Array:
    back = np.zeros(shape)
    height, width = (stride * size for size in gradient.shape[2:])
    for i, j in np.ndindex(*kernel.shape[2:]):
        part = np.einsum("nkyx,kc->ncyx", gradient, kernel[:, :, i, j])
        back[:, :, i : i + height : stride, j : j + width : stride] += part
    return back


def _steps(weights: Weights, value: Array) -> list[tuple[Array, ...]]:
    """Of each step: gates i, f, g, o, the cell before and after, the hidden state."""
    hidden = cell = np.zeros((len(value), weights["memory.weight_hh_l0"].shape[1]))
    steps = []
    for at in range(value.shape[1]):
        gates = (
            value[:, at] @ weights["memory.weight_ih_l0"].T
            + hidden @ weights["memory.weight_hh_l0"].T
            + weights["memory.bias_ih_l0"]
            + weights["memory.bias_hh_l0"]
        )
        i, f, g, o = np.split(gates, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        g, before = np.tanh(g), cell
        cell = f * before + i * g
        hidden = o * np.tanh(cell)
        steps.append((i, f, g, o, before, cell, hidden))
    return steps
