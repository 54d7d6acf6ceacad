"""The adjoint of one direction of an LSTM, a GRU and a simple RNN.

Since h[t-1] is the layer's own output shifted by a step, the gates of all steps are two matrix
products; only what truly depends on the step before runs in a Scan. Derivation: backpropagation
through time, Werbos 1990, doi:10.1109/5.58337, on the equations of the ONNX operators.
"""

from dataclasses import dataclass

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.loops import scan

__all__ = ["Pulled", "Strand", "Weight", "before", "gru", "gru_reset_first", "lstm", "rnn"]


Weight = str | np.ndarray


@dataclass(frozen=True, slots=True)
class Strand:
    """One direction of a recurrent layer: values per step [t n .], weights, cotangents.

    Weights that are constants are arrays: held by the Scan's own body, they are packed once
    instead of at every step (3 times faster per product on ONNX Runtime's CPU provider).
    `g` is the cotangent of every step's output, None if there is none; `g_h` and `g_c` are those
    of the final states. The cell state is an LSTM's only.
    """

    x: str
    h_before: str
    w: Weight
    r: Weight
    bias: tuple[str, str] | None
    g: str | None
    g_h: str
    g_c: str
    c_initial: str
    hidden: int
    reverse: bool


@dataclass(frozen=True, slots=True)
class Pulled:
    """The cotangents of a strand's operands."""

    x: str
    h_initial: str
    c_initial: str | None = None


def lstm(op: Emitter, s: Strand) -> Pulled:
    """Gates in ONNX's order: input, output, forget, cell."""
    gates = op.Add(_product(op, s, recurrent=False), _product(op, s, recurrent=True))
    pre = op.Split(gates, num_outputs=4, axis=-1, outputs=4)
    i, o, f = (op.Sigmoid(part) for part in pre[:3])
    n = op.Tanh(pre[3])

    def state(op: Emitter, states: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        c = op.Add(op.Mul(rows[0], states[0]), rows[1])
        return [c], [c]

    _, (c,) = scan(op, state, [s.c_initial], [f, op.Mul(i, n)], [0], reverse=s.reverse)
    c_before = before(op, c, s.c_initial, reverse=s.reverse)
    bent = op.Tanh(c)
    through = op.Mul(o, _one_minus_square(op, bent))
    slopes = op.Concat(
        op.Mul(n, _bell(op, i)),
        op.Mul(bent, _bell(op, o)),
        op.Mul(c_before, _bell(op, f)),
        op.Mul(i, _one_minus_square(op, n)),
        axis=-1,
    )

    def back(op: Emitter, states: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        through, forget, slopes, *g = rows
        d_h = op.Add(states[0], g[0]) if g else states[0]
        d_c = op.Add(op.Mul(d_h, through), states[1])
        d_gates = op.Mul(op.Concat(d_c, d_h, d_c, d_c, axis=-1), slopes)
        return [op.MatMul(d_gates, s.r), op.Mul(d_c, forget)], [d_gates]

    rows = [through, f, slopes, *_given(s.g)]
    (d_h, d_c), (d_gates,) = scan(op, back, [s.g_h, s.g_c], rows, [2], reverse=not s.reverse)
    return Pulled(op.MatMul(d_gates, s.w), d_h, d_c)


def gru(op: Emitter, s: Strand) -> Pulled:
    """Gates in ONNX's order: update, reset, hidden; linear_before_reset = 1."""
    inner = op.Split(_product(op, s, recurrent=False), num_outputs=3, axis=-1, outputs=3)
    outer = op.Split(_product(op, s, recurrent=True), num_outputs=3, axis=-1, outputs=3)
    z, r = (op.Sigmoid(op.Add(a, b)) for a, b in zip(inner[:2], outer[:2], strict=True))
    n = op.Tanh(op.Add(inner[2], op.Mul(r, outer[2])))
    to_z = op.Mul(op.Sub(s.h_before, n), _bell(op, z))
    to_n = op.Mul(op.Sub(1.0, z), _one_minus_square(op, n))
    to_r = op.Mul(op.Mul(to_n, outer[2]), _bell(op, r))
    slopes = op.Concat(to_z, to_r, op.Mul(to_n, r), axis=-1)

    def back(op: Emitter, states: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        keep, slopes, *g = rows
        d_h = op.Add(states[0], g[0]) if g else states[0]
        d_gates = op.Mul(op.Concat(d_h, d_h, d_h, axis=-1), slopes)
        return [op.Add(op.Mul(d_h, keep), op.MatMul(d_gates, s.r))], [d_h]

    rows = [z, slopes, *_given(s.g)]
    (first,), (d_h,) = scan(op, back, [s.g_h], rows, [0], reverse=not s.reverse)
    d_x = op.Concat(op.Mul(d_h, to_z), op.Mul(d_h, to_r), op.Mul(d_h, to_n), axis=-1)
    return Pulled(op.MatMul(d_x, s.w), first)


def gru_reset_first(op: Emitter, s: Strand) -> Pulled:
    """The same with linear_before_reset = 0: the reset gate acts before the hidden product."""
    inner = op.Split(_product(op, s, recurrent=False), num_outputs=3, axis=-1, outputs=3)
    r_gates, r_mixed = _rows(op, s.r, 0, 2 * s.hidden), _rows(op, s.r, 2 * s.hidden, 3 * s.hidden)
    shift: tuple[str, ...] = ("", "")
    if s.bias is not None:
        shift = op.Split(s.bias[1], [2 * s.hidden, s.hidden], axis=0, outputs=2)
    outer = _affine(op, s.h_before, r_gates, shift[0])
    parts = op.Split(outer, num_outputs=2, axis=-1, outputs=2)
    z, r = (op.Sigmoid(op.Add(a, b)) for a, b in zip(inner[:2], parts, strict=True))
    n = op.Tanh(op.Add(inner[2], _affine(op, op.Mul(r, s.h_before), r_mixed, shift[1])))
    to_z = op.Mul(op.Sub(s.h_before, n), _bell(op, z))
    to_n = op.Mul(op.Sub(1.0, z), _one_minus_square(op, n))
    slopes = op.Concat(to_z, op.Mul(s.h_before, _bell(op, r)), axis=-1)

    def back(op: Emitter, states: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        keep, reset, slopes, to_n, *g = rows
        d_h = op.Add(states[0], g[0]) if g else states[0]
        d_n = op.Mul(d_h, to_n)
        d_mixed = op.MatMul(d_n, r_mixed)
        d_gates = op.Mul(op.Concat(d_h, d_mixed, axis=-1), slopes)
        direct = op.Add(op.Mul(d_h, keep), op.Mul(d_mixed, reset))
        return [op.Add(direct, op.MatMul(d_gates, r_gates))], [d_gates, d_n]

    rows = [z, r, slopes, to_n, *_given(s.g)]
    (first,), (d_gates, d_n) = scan(op, back, [s.g_h], rows, [2, 3], reverse=not s.reverse)
    return Pulled(op.MatMul(op.Concat(d_gates, d_n, axis=-1), s.w), first)


def rnn(op: Emitter, s: Strand, slope: str) -> Pulled:
    """One gate, whose slope is given as a value of the output."""

    def back(op: Emitter, states: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        slope, *g = rows
        d_gate = op.Mul(op.Add(states[0], g[0]) if g else states[0], slope)
        return [op.MatMul(d_gate, s.r)], [d_gate]

    rows = [slope, *_given(s.g)]
    (first,), (d_gate,) = scan(op, back, [s.g_h], rows, [0], reverse=not s.reverse)
    return Pulled(op.MatMul(d_gate, s.w), first)


def before(op: Emitter, values: str, initial: str, *, reverse: bool) -> str:
    """Return for each step the value of the step before it; the initial one [n h] comes first."""
    last = [np.iinfo(np.int64).max]
    row = op.Unsqueeze(initial, [0])
    if reverse:
        return op.Slice(op.Concat(values, row, axis=0), [1], last, [0])
    return op.Slice(op.Concat(row, values, axis=0), [0], [-1], [0])


def _product(op: Emitter, s: Strand, *, recurrent: bool) -> str:
    """Return a side's part of the gates of all steps: W x[t] or R h[t-1], with its bias."""
    bias = "" if s.bias is None else s.bias[int(recurrent)]
    return _affine(op, s.h_before, s.r, bias) if recurrent else _affine(op, s.x, s.w, bias)


def _rows(op: Emitter, weight: Weight, start: int, end: int) -> Weight:
    if isinstance(weight, str):
        return op.Slice(weight, [start], [end], [0])
    return weight[start:end]


def _affine(op: Emitter, x: str, weight: Weight, bias: str) -> str:
    flipped = op.Transpose(weight, perm=[1, 0]) if isinstance(weight, str) else weight.T
    product = op.MatMul(x, flipped)
    return op.Add(product, bias) if bias else product


def _bell(op: Emitter, y: str) -> str:
    """Return the slope of the logistic function in terms of its result."""
    return op.Mul(y, op.Sub(1.0, y))


def _one_minus_square(op: Emitter, y: str) -> str:
    """Return the slope of tanh in terms of its result."""
    return op.Sub(1.0, op.Mul(y, y))


def _given(g: str | None) -> list[str]:
    return [] if g is None else [g]
