"""The adjoint of one direction of an LSTM.

The layer gives its outputs only, so the cell states are computed once more. Derivation:
backpropagation through time, Werbos 1990, doi:10.1109/5.58337, on ONNX's equations.
"""

from dataclasses import dataclass

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.cell_gates import Gate, gate, weigh
from candor.autodiff.rules.loops import Loop, Looping
from candor.autodiff.rules.strands import (
    Pulled,
    Strand,
    arrive,
    before,
    enter,
    leave,
    masked,
    sums,
)

__all__ = ["lstm"]

_Rows = tuple[list[str], list[str]]


@dataclass(frozen=True, slots=True)
class _Memory:
    """The cell of all steps: c = kept + added, where kept = f * c_before and added = i * n.

    `f` is None if the forget gate is 1 - i.
    """

    i: Gate
    f: Gate | None
    n: Gate
    keep: str
    kept: str
    added: str
    c_before: str
    c: str


def lstm(op: Emitter, s: Strand) -> Looping[Pulled]:
    """Differentiate; gates in ONNX's order: input, output, forget, cell."""
    into_i, into_o, into_f, into_n = sums(op, s, 4)
    n = gate(op, into_n, s.activations[1], s.clip)
    m = yield from (_memory if s.peepholes is None else _peeping)(op, s, into_i, into_f, n)
    if s.peepholes is not None:
        into_o = op.Add(into_o, op.Mul(m.c, s.peepholes[1]))
    o = gate(op, into_o, s.activations[0], s.clip)
    bent = gate(op, m.c, s.activations[2], None)
    slopes = _slopes(op, m, weigh(op, o, bent.y, s.h))
    through, keep = weigh(op, bent, o.y, s.h), m.keep
    if s.peepholes is not None:
        to_i, to_o, to_f = (op.Mul(t, p) for t, p in zip(slopes, s.peepholes, strict=False))
        through, keep = op.Add(through, to_o), op.Sum(keep, to_i, to_f)
    rows = [masked(op, s, through), masked(op, s, keep, 1.0)]
    return (yield from _way_back(op, s, rows, slopes))


def _memory(op: Emitter, s: Strand, into_i: str, into_f: str, n: Gate) -> Looping[_Memory]:
    """Run the cell, whose gates are known for all steps."""
    i = gate(op, into_i, s.activations[0], s.clip)
    f = None if s.coupled else gate(op, into_f, s.activations[0], s.clip)
    keep = op.Sub(1.0, i.y) if f is None else f.y
    added = masked(op, s, op.Mul(i.y, n.y))

    def step(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        kept = op.Mul(states[0], rows[0])
        return [op.Add(kept, rows[1])], [kept]

    sequences = [masked(op, s, keep, 1.0), added]
    _, (kept,) = yield Loop(step, [s.c_initial], sequences, [0], s.reverse)
    c = op.Add(kept, added)
    c_before = before(op, c, s.c_initial, reverse=s.reverse)
    return _Memory(i, f, n, keep, kept, added, c_before, c)


def _peeping(op: Emitter, s: Strand, into_i: str, into_f: str, n: Gate) -> Looping[_Memory]:
    """Run the cell, whose gates read the cell state before them."""
    f_act = s.activations[0]

    def gates(op: Emitter, into: list[str], c: str) -> list[Gate]:
        peeped = [
            op.Add(x, op.Mul(c, peephole))
            for x, peephole in zip(into, (s.peepholes or ())[::2], strict=True)
        ]
        return [gate(op, x, f_act, s.clip) for x in (peeped[:1] if s.coupled else peeped)]

    def values(op: Emitter, found: list[Gate]) -> tuple[str, str]:
        return found[0].y, op.Sub(1.0, found[0].y) if s.coupled else found[1].y

    def step(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        i, f = values(op, gates(op, rows[:2], states[0]))
        c = op.Add(op.Mul(f, states[0]), op.Mul(i, rows[2]))
        return [op.Where(rows[3], c, states[0]) if rows[3:] else c], [states[0]]

    sequences = [into_i, into_f, n.y, *([] if s.valid is None else [s.valid])]
    _, (c_before,) = yield Loop(step, [s.c_initial], sequences, [0], s.reverse)
    found = gates(op, [into_i, into_f], c_before)
    i, keep = values(op, found)
    kept, added = op.Mul(keep, c_before), op.Mul(i, n.y)
    f = None if s.coupled else found[1]
    return _Memory(found[0], f, n, keep, kept, added, c_before, op.Add(kept, added))


def _slopes(op: Emitter, m: _Memory, to_o: str) -> list[str]:
    """Return what the cotangent of c (of h for the output gate) is to be times, per gate."""
    if m.f is None:
        to_i = weigh(op, m.i, op.Sub(m.n.y, m.c_before))
        to_f = op.Mul(to_i, 0.0)
    else:
        to_i = weigh(op, m.i, m.n.y, m.added)
        to_f = weigh(op, m.f, m.c_before, m.kept)
    return [to_i, to_o, to_f, weigh(op, m.n, m.i.y, m.added)]


def _way_back(
    op: Emitter, s: Strand, through_keep: list[str], slopes: list[str]
) -> Looping[Pulled]:
    d_last, given = enter(op, s)

    def back(op: Emitter, states: list[str], rows: list[str]) -> _Rows:
        through, keep, slopes, *given = rows
        d_h = states[0] if s.valid is None else arrive(op, s, states[0], given)
        d_c = op.Add(op.Mul(d_h, through), states[1])
        d_gates = op.Mul(op.Concat(d_c, d_h, d_c, d_c, axis=-1), slopes)
        d_before = leave(op, s, d_h, (d_gates, s.r), given)
        return [d_before, op.Mul(d_c, keep)], [d_gates, *([d_h] if s.total else [])]

    stacked = masked(op, s, op.Concat(*slopes, axis=-1))
    rows, stacks = [*through_keep, stacked, *given], [2, 0] if s.total else [2]
    states, (d_gates, *d_h) = yield Loop(back, [d_last, s.g_c], rows, stacks, not s.reverse)
    total = d_h[0] if d_h else None
    return Pulled(op.MatMul(d_gates, s.w), states[0], states[1], total)
