"""Rules of recurrent layers: taking a layer apart into strands, one per direction."""

from collections.abc import Callable

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.cells import (
    Pulled,
    Strand,
    Weight,
    before,
    gru,
    gru_reset_first,
    lstm,
    rnn,
)
from candor.autodiff.rules.extents import extent, zero_like
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []

_Cell = Callable[[Emitter, Strand], Pulled]

_DEFAULTS = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "RNN": ["Tanh"],
}


@vjp("LSTM", operands=(0, 5, 6))
def lstm_layer(op: Emitter, at: Site) -> list[str | None]:
    if at.operand(7) is not None:
        raise at.refusal("peepholes are not built")
    if at.integer("input_forget", 0):
        raise at.refusal("input_forget is not built")
    return _layer(op, at, [lstm] * 2)


@vjp("GRU", operands=(0, 5))
def gru_layer(op: Emitter, at: Site) -> list[str | None]:
    cell = gru if at.integer("linear_before_reset", 0) else gru_reset_first
    return _layer(op, at, [cell] * 2)[:2]


@vjp("RNN", operands=(0, 5))
def rnn_layer(op: Emitter, at: Site) -> list[str | None]:
    names = _activations(at)
    if unknown := [name for name in names if name not in _RNN_SLOPES]:
        raise at.refusal(f"activation '{unknown[0]}' is not built, only Tanh and Relu")

    def cell(direction: int) -> _Cell:
        slope = _RNN_SLOPES[names[min(direction, len(names) - 1)]]
        return lambda op, s: rnn(op, s, slope(op, _steps(op, at, at.y, direction)))

    return _layer(op, at, [cell(0), cell(1)])[:2]


def _layer(op: Emitter, at: Site, cells: list[_Cell]) -> list[str | None]:
    """Differentiate each direction; return the cotangents of X, initial_h and initial_c."""
    _refuse_unbuilt(at)
    mode = at.text("direction", "forward")
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[mode]
    pulled = [
        cell(op, _strand(op, at, direction, reverse=reverse))
        for direction, (cell, reverse) in enumerate(zip(cells, reverses, strict=False))
    ]
    x = pulled[0].x if len(pulled) == 1 else op.Add(pulled[0].x, pulled[1].x)
    h = _stack(op, [p.h_initial for p in pulled])
    c = _stack(op, [p.c_initial for p in pulled if p.c_initial is not None])
    return [x, h, c]


def _refuse_unbuilt(at: Site) -> None:
    if at.operand(4) is not None:
        raise at.refusal("sequence_lens is not built; run sequences of one length")
    if at.integer("layout", 0):
        raise at.refusal("layout 1 (batch first) is not built")
    if at.has("clip"):
        raise at.refusal("clip is not built")
    names, default = _activations(at), _DEFAULTS[at.node.op_type]
    if at.node.op_type != "RNN" and any(a != b for a, b in zip(names, default * 2, strict=False)):
        raise at.refusal(f"activations {', '.join(names)} are not built, only the default ones")


def _activations(at: Site) -> list[str]:
    attributes = [a for a in at.node.attribute if a.name == "activations"]
    names = [name.decode().title() for a in attributes for name in a.strings]
    return names or _DEFAULTS[at.node.op_type]


def _strand(op: Emitter, at: Site, direction: int, *, reverse: bool) -> Strand:
    w, r = _weight(op, at, 1, direction), _weight(op, at, 2, direction)
    hidden = at.shape(2)[2]
    if not isinstance(hidden, int):
        raise at.refusal("its hidden size is unknown")
    zeros = _zeros(op, at, hidden)
    b = at.operand(3)
    bias = None
    if b is not None:
        halves = op.Split(_pick(op, b, direction), num_outputs=2, axis=0, outputs=2)
        bias = (halves[0], halves[1])
    initial_h, initial_c = at.operand(5), at.operand(6)
    y, y_h, y_c = (*at.cotangents, None, None)[:3]
    h = _steps(op, at, op.graph.name_output(at.node, 0), direction)
    h_initial = zeros if initial_h is None else _pick(op, initial_h, direction)
    return Strand(
        x=at.x,
        h_before=before(op, h, h_initial, reverse=reverse),
        w=w,
        r=r,
        bias=bias,
        g=None if y is None else _steps(op, at, y, direction),
        g_h=zeros if y_h is None else _pick(op, y_h, direction),
        g_c=zeros if y_c is None else _pick(op, y_c, direction),
        c_initial=zeros if initial_c is None else _pick(op, initial_c, direction),
        hidden=hidden,
        reverse=reverse,
    )


def _weight(op: Emitter, at: Site, index: int, direction: int) -> Weight:
    known = at.constant(index)
    return _pick(op, at.node.input[index], direction) if known is None else known[direction]


def _pick(op: Emitter, value: str, direction: int) -> str:
    """Take one direction out of a weight or a state, whose first axis it is."""
    return op.Gather(value, np.int64(direction), axis=0)


def _steps(op: Emitter, at: Site, value: str, direction: int) -> str:
    """Take one direction out of all steps [t d n h]."""
    if at.text("direction", "forward") == "bidirectional":
        return op.Gather(value, np.int64(direction), axis=1)
    return op.Squeeze(value, [1])


def _stack(op: Emitter, states: list[str]) -> str | None:
    rows = [op.Unsqueeze(state, [0]) for state in states]
    return op.Concat(*rows, axis=0) if len(rows) > 1 else next(iter(rows), None)


def _zeros(op: Emitter, at: Site, hidden: int) -> str:
    """Return a state [n h] of zeros."""
    batch = extent(op, at.x, 1)
    shape = [*batch, hidden] if isinstance(batch, list) else op.Concat(batch, [hidden], axis=0)
    return op.ConstantOfShape(shape, value=zero_like(op, at.x))


_RNN_SLOPES: dict[str, Callable[[Emitter, str], str]] = {
    "Tanh": lambda op, y: op.Sub(1.0, op.Mul(y, y)),
    "Relu": lambda op, y: op.Sign(y),
}
