"""Rules of recurrent layers: taking a layer apart into strands, one per direction."""

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.cell_gates import ACTIVATIONS, Activation, activations
from candor.autodiff.rules.cells import gru, gru_reset_first, rnn
from candor.autodiff.rules.extents import extent, zero_like
from candor.autodiff.rules.loops import Looping, braid
from candor.autodiff.rules.lstm import lstm
from candor.autodiff.rules.strands import Pulled, Strand, Weight, before
from candor.autodiff.rules.table import STATES, Site, vjp

__all__: list[str] = []

_Cell = Callable[[Emitter, Strand], Looping[Pulled]]

_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_IN_CACHE = 2**18  # recurrent weights, of 4 bytes: half of what a common second-level cache holds
_SPELLINGS = {name.lower(): name for name in ACTIVATIONS}


@vjp("LSTM", operands=(0, 5, 6, STATES))
def lstm_layer(op: Emitter, at: Site) -> list[str | None]:
    return _layer(op, at, lstm)


@vjp("GRU", operands=(0, 5, STATES))
def gru_layer(op: Emitter, at: Site) -> list[str | None]:
    cell = gru if at.integer("linear_before_reset", 0) else gru_reset_first
    x, h, _, states = _layer(op, at, cell)
    return [x, h, states]


@vjp("RNN", operands=(0, 5, STATES))
def rnn_layer(op: Emitter, at: Site) -> list[str | None]:
    x, h, _, states = _layer(op, at, rnn)
    return [x, h, states]


def _layer(op: Emitter, at: Site, cell: _Cell) -> list[str | None]:
    """Differentiate each direction: cotangents of X, initial_h, initial_c and all states."""
    if at.integer("layout", 0):
        raise at.refusal("layout 1 (batch first) has no kernels in ONNX Runtime")
    mode = at.text("direction", "forward")
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[mode]
    strands = [
        _strand(op, at, direction, reverse=reverse) for direction, reverse in enumerate(reverses)
    ]
    pulled = _run(op, at, cell, strands)
    x = pulled[0].x if len(pulled) == 1 else op.Add(pulled[0].x, pulled[1].x)
    h = _stack(op, [p.h_initial for p in pulled], 0)
    c = _stack(op, [p.c_initial for p in pulled if p.c_initial is not None], 0)
    states = [p.total for p in pulled if p.total is not None]
    if (valid := strands[0].valid) is not None:
        states = [op.Where(valid, total, 0.0) for total in states]
    return [x, h, c, _stack(op, states, 1)]


def _run(op: Emitter, at: Site, cell: _Cell, strands: list[Strand]) -> list[Pulled]:
    """Run the directions through the same Scans, if a core's cache holds what both read."""
    gates, hidden = {"LSTM": 4, "GRU": 3, "RNN": 1}[at.node.op_type], strands[0].hidden
    if len(strands) * gates * hidden**2 <= _IN_CACHE:
        return braid(op, [cell(op, strand) for strand in strands])
    return [braid(op, [cell(op, strand)])[0] for strand in strands]


def _strand(op: Emitter, at: Site, direction: int, *, reverse: bool) -> Strand:
    hidden = at.shape(2)[2]
    if not isinstance(hidden, int):
        raise at.refusal("its hidden size is unknown")
    zeros = _zeros(op, at, hidden)
    initial_h, initial_c = (
        zeros if name is None else _pick(op, name, direction)
        for name in (at.operand(5), at.operand(6) if at.node.op_type == "LSTM" else None)
    )
    y, *finals = (*at.cotangents, None, None)[:3]
    g_h, g_c = (zeros if g is None else _occupied(op, at, g, direction) for g in finals)
    h = _steps(op, at, op.graph.name_output(at.node, 0), direction)
    return Strand(
        x=at.x,
        h=h,
        h_before=_before(op, at, h, initial_h, reverse=reverse),
        w=_weight(op, at, 1, direction),
        r=_weight(op, at, 2, direction),
        bias=_parts(op, at, 3, direction, 2),
        peepholes=_parts(op, at, 7, direction, 3),
        activations=_activations(at, direction),
        clip=_clip(at),
        coupled=bool(at.integer("input_forget", 0)),
        valid=None if at.operand(4) is None else _started(op, at, 0),
        g=None if y is None else _steps(op, at, y, direction),
        g_h=g_h,
        g_c=g_c,
        c_initial=initial_c,
        hidden=hidden,
        reverse=reverse,
        total=STATES in at.wanted,
    )


# Attributes


def _activations(at: Site, direction: int) -> tuple[Activation, ...]:
    """Return the activations of one direction; parameters are handed out over both."""
    default = _DEFAULTS[at.node.op_type]
    given = _attribute(at, "activations") or default * 2
    names = [_SPELLINGS.get(str(name).lower(), str(name)) for name in given]
    if unknown := [name for name in names if name not in ACTIVATIONS]:
        raise at.refusal(
            f"activation '{unknown[0]}' is not built, only {', '.join(sorted(ACTIVATIONS))}"
        )
    alphas, betas = (
        [float(n) for n in _attribute(at, f"activation_{which}")] for which in ("alpha", "beta")
    )
    found = activations(names, alphas, betas)
    start = direction * len(default)
    return tuple(found[start : start + len(default)])


def _attribute(at: Site, name: str) -> Sequence[str | float]:
    found = next((a for a in at.node.attribute if a.name == name), None)
    if found is None:
        return []
    return [text.decode() for text in found.strings] or list(found.floats)


def _clip(at: Site) -> float | None:
    """Return the bound; ONNX Runtime's RNN takes a negative one for none."""
    bound = at.number("clip", -1.0)
    return bound if bound >= 0.0 else None


# Operands


def _weight(op: Emitter, at: Site, index: int, direction: int) -> Weight:
    known = at.constant(index)
    return _pick(op, at.node.input[index], direction) if known is None else known[direction]


def _parts(op: Emitter, at: Site, index: int, direction: int, n: int) -> tuple[Weight, ...] | None:
    """Return the equal parts of an optional weight [d n*h]."""
    if at.operand(index) is None:
        return None
    weight = _weight(op, at, index, direction)
    if isinstance(weight, str):
        return op.Split(weight, num_outputs=n, axis=0, outputs=n)
    return tuple(np.split(weight, n))


def _pick(op: Emitter, value: str, direction: int) -> str:
    """Take one direction out of a weight or a state, whose first axis it is."""
    return op.Gather(value, np.int64(direction), axis=0)


def _steps(op: Emitter, at: Site, value: str, direction: int) -> str:
    """Take one direction out of all steps [t d n h]."""
    if at.text("direction", "forward") == "bidirectional":
        return op.Gather(value, np.int64(direction), axis=1)
    return op.Squeeze(value, [1])


def _before(op: Emitter, at: Site, h: str, initial: str, *, reverse: bool) -> str:
    """Return the state before each step; backwards, a sequence begins at its own last step."""
    shifted = before(op, h, initial, reverse=reverse)
    if at.operand(4) is None or not reverse:
        return shifted
    return op.Where(_started(op, at, 1), shifted, op.Unsqueeze(initial, [0]))


def _started(op: Emitter, at: Site, ahead: int) -> str:
    """Tell of each step [t n 1] whether the one so much later belongs to its sequence still."""
    steps = op.Squeeze(op.Shape(at.x, start=0, end=1), [0])
    later = op.Range(np.int64(ahead), op.Add(steps, ahead), np.int64(1))
    lengths = op.Cast(at.operand(4), to=TensorProto.INT64)
    return op.Less(op.Unsqueeze(later, [1, 2]), op.Unsqueeze(lengths, [0, 2]))


def _occupied(op: Emitter, at: Site, g: str, direction: int) -> str:
    """Return the cotangent of a final state, which is zero for a sequence without steps."""
    picked = _pick(op, g, direction)
    if at.operand(4) is None:
        return picked
    return op.Where(op.Unsqueeze(op.Greater(at.operand(4), 0), [1]), picked, 0.0)


def _stack(op: Emitter, parts: list[str], axis: int) -> str | None:
    rows = [op.Unsqueeze(part, [axis]) for part in parts]
    return op.Concat(*rows, axis=axis) if len(rows) > 1 else next(iter(rows), None)


def _zeros(op: Emitter, at: Site, hidden: int) -> str:
    """Return a state [n h] of zeros."""
    batch = extent(op, at.x, 1)
    shape = [*batch, hidden] if isinstance(batch, list) else op.Concat(batch, [hidden], axis=0)
    return op.ConstantOfShape(shape, value=zero_like(op, at.x))
