"""One direction of a recurrent layer, and how cotangents enter and leave its steps.

Sequences shorter than the longest (sequence_lens) end in steps that are padding: their rows must
hold slopes of zero, and their steps hand the state's cotangent on as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.cell_gates import Activation

__all__ = [
    "Pulled",
    "Strand",
    "Weight",
    "affine",
    "arrive",
    "before",
    "enter",
    "leave",
    "masked",
    "part",
    "plain",
    "sums",
]


Weight = str | np.ndarray


@dataclass(frozen=True, slots=True)
class Strand:
    """Values per step [t n .], weights, and the cotangents of the results.

    Weights that are constants are arrays: held by the Scan's own body, they are packed once
    instead of at every step (3 times faster per product on ONNX Runtime's CPU provider). `bias` is
    that of the side of x and that of h.
    `h` is every step's output and `h_before` the one before it. `g` is the cotangent of `h`, None
    if there is none; `g_h` and `g_c` are those of the final states. `valid` [t n 1] tells steps
    from padding, None if there is no padding. `peepholes` are those of input, output, forget gate;
    `coupled` says that the forget gate is 1 - i. `total` asks for `Pulled.total`.
    """

    x: str
    h: str
    h_before: str
    w: Weight
    r: Weight
    bias: tuple[Weight, ...] | None
    peepholes: tuple[Weight, ...] | None
    activations: tuple[Activation, ...]
    clip: float | None
    coupled: bool
    valid: str | None
    g: str | None
    g_h: str
    g_c: str
    c_initial: str
    hidden: int
    reverse: bool
    total: bool


@dataclass(frozen=True, slots=True)
class Pulled:
    """The cotangents of a strand's operands.

    `total` is that of the state after each step [t n h] through all the steps that follow,
    garbage where there is padding.
    """

    x: str
    h_initial: str
    c_initial: str | None = None
    total: str | None = None


# Forward again


def before(op: Emitter, values: str, initial: str, *, reverse: bool) -> str:
    """Return for each step the value of the step before it; the initial one [n h] comes first."""
    last = [np.iinfo(np.int64).max]
    row = op.Unsqueeze(initial, [0])
    if reverse:
        return op.Slice(op.Concat(values, row, axis=0), [1], last, [0])
    return op.Slice(op.Concat(row, values, axis=0), [0], [-1], [0])


def sums(op: Emitter, s: Strand, n: int) -> list[str]:
    """Return the sums before the first n gates: W x[t] + R h[t-1] + b, each [t n h].

    One product per gate on (x, h, 1): no pass over the result to add, and none to split it.
    """
    ones = op.Expand(np.ones((1, 1, 1), np.float32), op.Concat(op.Shape(s.x, end=2), [1], axis=0))
    parts = [s.x, s.h_before] if s.bias is None else [s.x, s.h_before, ones]
    stacked = op.Concat(*parts, axis=-1)
    return [op.MatMul(stacked, _stacked(op, s, gate)) for gate in range(n)]


def affine(op: Emitter, s: Strand, x: str, side: int, gate: int) -> str:
    """Return a side's part of one gate: W x (side 0) or R x (side 1), with its bias."""
    start, end = gate * s.hidden, (gate + 1) * s.hidden
    rows = part(op, (s.w, s.r)[side], start, end)
    flipped = op.Transpose(rows, perm=[1, 0]) if isinstance(rows, str) else rows.T
    product = op.MatMul(x, flipped)
    if s.bias is None:
        return product
    return op.Add(product, part(op, s.bias[side], start, end))


def _stacked(op: Emitter, s: Strand, gate: int) -> Weight:
    """Return a gate's weights under each other [i+h(+1) h]."""
    start, end = gate * s.hidden, (gate + 1) * s.hidden
    parts = [part(op, s.w, start, end), part(op, s.r, start, end)]
    if s.bias is not None:
        one, two = (part(op, half, start, end) for half in s.bias)
        arrays = isinstance(one, np.ndarray) and isinstance(two, np.ndarray)
        total = one + two if arrays else op.Add(one, two)
        column = total[:, None] if isinstance(total, np.ndarray) else op.Unsqueeze(total, [1])
        parts.append(column)
    known = [part for part in parts if isinstance(part, np.ndarray)]
    if len(known) == len(parts):
        return np.concatenate(known, axis=1).T
    return op.Transpose(op.Concat(*parts, axis=1), perm=[1, 0])


def part(op: Emitter, weight: Weight, start: int, end: int) -> Weight:
    """Return some rows of a weight."""
    if isinstance(weight, str):
        return op.Slice(weight, [start], [end], [0])
    return weight[start:end]


def masked(op: Emitter, s: Strand, value: str, padding: float = 0.0) -> str:
    """Replace what a value holds where there is padding."""
    return value if s.valid is None else op.Where(s.valid, value, padding)


# Backward


def enter(op: Emitter, s: Strand) -> tuple[str, list[str]]:
    """Return the cotangent of the state after the last step, and what `leave` is to read.

    The cotangent of a step's own output is added where the step after it ends, in the product.
    """
    if s.g is None or s.valid is not None:
        return s.g_h, plain(op, s)
    bounds = ([0], [1]) if s.reverse else ([-1], [np.iinfo(np.int64).max])
    last = op.ReduceSum(op.Slice(s.g, *bounds, [0]), [0], keepdims=0)
    shifts = [-1, 0, 0, 1, 0, 0] if s.reverse else [1, 0, 0, -1, 0, 0]
    return op.Add(s.g_h, last), [op.Pad(s.g, shifts)]


def plain(op: Emitter, s: Strand) -> list[str]:
    """Return what `arrive` is to read if a step adds the cotangent of its own output itself."""
    g = [] if s.g is None else [masked(op, s, s.g)]
    return g if s.valid is None else [s.valid, *g]


def arrive(op: Emitter, s: Strand, state: str, given: Sequence[str]) -> str:
    """Add the cotangent of a step's own output to that of the state, if it is still to be added."""
    own = given if s.valid is None else given[1:]
    return op.Add(state, own[0]) if own else state


def leave(
    op: Emitter, s: Strand, d_h: str, product: tuple[str, Weight], given: Sequence[str]
) -> str:
    """Return the cotangent of the state before a step; padding hands it on."""
    if s.valid is not None:
        return op.Where(given[0], op.MatMul(*product), d_h)
    return op.Gemm(*product, given[0]) if given else op.MatMul(*product)
