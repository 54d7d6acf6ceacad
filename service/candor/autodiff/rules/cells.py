"""The adjoint of one direction of a GRU and of a simple RNN.

Since h[t-1] is the layer's own output shifted by a step, the gates of all steps are a few matrix
products; only what truly depends on the step before runs in a Scan. Derivation: backpropagation
through time, Werbos 1990, doi:10.1109/5.58337, on ONNX's equations.
"""

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.cell_gates import gate, slope, weigh
from candor.autodiff.rules.loops import Loop, Looping
from candor.autodiff.rules.strands import (
    Pulled,
    Strand,
    affine,
    arrive,
    enter,
    leave,
    masked,
    part,
    plain,
    sums,
)

__all__ = ["gru", "gru_reset_first", "rnn"]

_Rows = tuple[list[str], list[str]]


def gru(op: Emitter, s: Strand) -> Looping[Pulled]:
    """Gates in ONNX's order: update, reset, hidden; linear_before_reset = 1."""
    into_z, into_r = sums(op, s, 2)
    z, r = (gate(op, x, s.activations[0], s.clip) for x in (into_z, into_r))
    inner, outer = affine(op, s, s.x, 0, 2), affine(op, s, s.h_before, 1, 2)
    n = gate(op, op.Add(inner, op.Mul(r.y, outer)), s.activations[1], s.clip)
    to_z = masked(op, s, weigh(op, z, op.Sub(s.h_before, n.y)))
    to_n = masked(op, s, weigh(op, n, op.Sub(1.0, z.y)))
    to_r = weigh(op, r, op.Mul(to_n, outer))
    slopes = op.Concat(to_z, to_r, op.Mul(to_n, r.y), axis=-1)

    def back(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        keep, slopes, *given = rows
        d_h = arrive(op, s, states[0], given)
        d_gates = op.Mul(op.Concat(d_h, d_h, d_h, axis=-1), slopes)
        return [op.Gemm(d_gates, s.r, op.Mul(d_h, keep))], [d_h]

    sequences = [masked(op, s, z.y, 1.0), slopes, *plain(op, s)]
    (first,), (d_h,) = yield Loop(back, [s.g_h], sequences, [0], not s.reverse)
    d_x = op.Concat(op.Mul(d_h, to_z), op.Mul(d_h, to_r), op.Mul(d_h, to_n), axis=-1)
    return Pulled(op.MatMul(d_x, s.w), first, total=d_h)


def gru_reset_first(op: Emitter, s: Strand) -> Looping[Pulled]:
    """The same with linear_before_reset = 0: the reset gate acts before the hidden product."""
    into_z, into_r = sums(op, s, 2)
    z, r = (gate(op, x, s.activations[0], s.clip) for x in (into_z, into_r))
    reset = op.Mul(r.y, s.h_before)
    into_n = op.Add(affine(op, s, s.x, 0, 2), affine(op, s, reset, 1, 2))
    n = gate(op, into_n, s.activations[1], s.clip)
    to_z = weigh(op, z, op.Sub(s.h_before, n.y))
    to_n = masked(op, s, weigh(op, n, op.Sub(1.0, z.y)))
    slopes = masked(op, s, op.Concat(to_z, weigh(op, r, s.h_before, reset), axis=-1))
    to_gates, to_mixed = part(op, s.r, 0, 2 * s.hidden), part(op, s.r, 2 * s.hidden, 3 * s.hidden)

    def back(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        keep, reset, slopes, to_n, *given = rows
        d_h = arrive(op, s, states[0], given)
        d_n = op.Mul(d_h, to_n)
        d_mixed = op.MatMul(d_n, to_mixed)
        d_gates = op.Mul(op.Concat(d_h, d_mixed, axis=-1), slopes)
        direct = op.Add(op.Mul(d_h, keep), op.Mul(d_mixed, reset))
        total = [d_h] if s.total else []
        return [op.Gemm(d_gates, to_gates, direct)], [d_gates, d_n, *total]

    sequences = [masked(op, s, z.y, 1.0), r.y, slopes, to_n, *plain(op, s)]
    stacks = [2, 3, 0] if s.total else [2, 3]
    (first,), (d_gates, d_n, *d_h) = yield Loop(back, [s.g_h], sequences, stacks, not s.reverse)
    d_x = op.MatMul(op.Concat(d_gates, d_n, axis=-1), s.w)
    return Pulled(d_x, first, total=d_h[0] if d_h else None)


def rnn(op: Emitter, s: Strand) -> Looping[Pulled]:
    """One gate."""
    (into,) = sums(op, s, 1)
    found = gate(op, into, s.activations[0], s.clip)
    slopes = masked(op, s, slope(op, found))
    d_last, given = enter(op, s)

    def back(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        bent, *given = rows
        d_h = states[0] if s.valid is None else arrive(op, s, states[0], given)
        d_gate = op.Mul(d_h, bent)
        total = [d_h] if s.total else []
        return [leave(op, s, d_h, (d_gate, s.r), given)], [d_gate, *total]

    stacks = [0, 0] if s.total else [0]
    (first,), (d_gate, *d_h) = yield Loop(back, [d_last], [slopes, *given], stacks, not s.reverse)
    return Pulled(op.MatMul(d_gate, s.w), first, total=d_h[0] if d_h else None)
