"""Rules of operators that pick elements out of a value: their way back puts them in place."""

import numpy as np

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.extents import extent, zero_like, zeros_like
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


@vjp("Slice")
def slice_(op: Emitter, at: Site) -> list[str]:
    """Fill up with zeros around the slice, axis by axis."""
    axes = _sliced(at)
    unknown = [None] * len(axes)
    starts, steps = at.constant(1), at.constant(4)
    first = unknown if starts is None else starts.tolist()
    stride = [1] * len(axes) if at.operand(4) is None else unknown
    stride = stride if steps is None else steps.tolist()
    g, known = at.g, []
    for axis, start, step in zip(axes, first, stride, strict=True):
        if start is None or step is None or step < 1:
            g = _scatter_slice(op, at, g, axis)
        elif step == 1 or isinstance(extent(op, at.x, axis), list):
            g = g if step == 1 else _spread_out(op, g, axis, step)
            known.append((axis, _first(op, at.x, axis, start)))
        else:
            g = _scatter_slice(op, at, g, axis)
    return [_embed(op, g, at.x, known)]


def _sliced(at: Site) -> list[int]:
    if at.operand(3) is not None:
        return [int(axis) for axis in at.required(3, "axes")]
    count = at.shape(1)[0]
    if not isinstance(count, int):
        raise at.refusal("the number of its starts is unknown")
    return list(range(count))


def _first(op: Emitter, x: str, axis: int, start: int) -> Operand:
    """Return where a slice with step 1 begins, as a vector of one: 0 <= first <= extent."""
    width = extent(op, x, axis)
    if isinstance(width, list):
        return [min(max(start + width[0] if start < 0 else start, 0), width[0])]
    if start == 0:
        return [0]
    first = op.Add(width, [start]) if start < 0 else np.array([start], np.int64)
    return op.Max(op.Min(first, width), [0])


def _embed(op: Emitter, g: str, x: str, firsts: list[tuple[int, Operand]]) -> str:
    """Pad axes of the cotangent to the extent they have in x, each starting at its first."""
    before, after, axes = [], [], []
    for axis, first in firsts:
        whole, part = extent(op, x, axis), extent(op, g, axis)
        if isinstance(whole, list) and isinstance(part, list) and isinstance(first, list):
            rest: Operand = [whole[0] - first[0] - part[0]]
            if [first, rest] == [[0], [0]]:
                continue
        else:
            rest = op.Sub(op.Sub(whole, part), first)
        before.append(first)
        after.append(rest)
        axes.append(axis)
    if not axes:
        return g
    margins = [entry for part in (*before, *after) if isinstance(part, list) for entry in part]
    known = len(margins) == 2 * len(axes)
    return op.Pad(g, margins if known else op.Concat(*before, *after, axis=0), None, axes)


def _spread_out(op: Emitter, g: str, axis: int, step: int) -> str:
    """Put step - 1 zeros behind each entry along an axis."""
    shape = op.graph.shape(g) or ()
    axis %= len(shape)
    filled = op.Pad(op.Unsqueeze(g, [axis + 1]), [0, step - 1], None, [axis + 1])
    # 0 copies the extent at the same place, which the new axis shifts for those behind it.
    parts = [[0] if a < axis else extent(op, g, a) for a in range(len(shape))]
    parts[axis] = [-1]
    known = [part[0] for part in parts if isinstance(part, list)]
    return op.Reshape(filled, known if len(known) == len(parts) else op.Concat(*parts, axis=0))


def _scatter_slice(op: Emitter, at: Site, g: str, axis: int) -> str:
    """Put a slice with any step back by the indices that the same slice picks from 0, 1, 2..."""
    numbered = op.Range(np.int64(0), op.Squeeze(extent(op, at.x, axis), [0]), np.int64(1))
    position = _position(at, axis)
    picks = op.Slice(
        numbered,
        *(_entry(op, at, index, position) for index in (1, 2)),
        [0],
        [1] if at.operand(4) is None else _entry(op, at, 4, position),
    )
    return _put(op, g, at.x, axis, picks)


def _position(at: Site, axis: int) -> int:
    if at.operand(3) is None:
        return axis
    return int(at.required(3, "axes").tolist().index(axis))


def _entry(op: Emitter, at: Site, operand: int, position: int) -> str:
    return op.Gather(at.node.input[operand], [position], axis=0)


def _put(op: Emitter, g: str, x: str, axis: int, picks: str) -> str:
    """Add the entries of g along an axis to zeros at given indices; g has x's other extents."""
    rank = op.graph.rank(x) or 1
    lead = axis % rank
    aligned = op.Unsqueeze(picks, [a for a in range(rank) if a != lead]) if rank > 1 else picks
    target = op.Concat(*[extent(op, g, a) for a in range(rank)], axis=0)
    base = op.Concat(*[extent(op, x if a == lead else g, a) for a in range(rank)], axis=0)
    zeros = op.ConstantOfShape(base, value=zero_like(op, g))
    return op.ScatterElements(zeros, op.Expand(aligned, target), g, axis=lead, reduction="add")


@vjp("Gather")
def gather(op: Emitter, at: Site) -> list[str]:
    """Pad around a single index; scatter-add where there are several."""
    axis = at.integer("axis", 0) % len(at.shape(0))
    indices = at.node.input[1]
    rank = op.graph.rank(indices)
    known = at.constant(1)
    if known is not None and known.size == 1:
        g = op.Unsqueeze(at.g, [axis]) if known.ndim == 0 else at.g
        start = int(known.reshape(()))
        if known.ndim <= 1:
            return [_embed(op, g, at.x, [(axis, _first(op, at.x, axis, start))])]
    if rank is None:
        raise at.refusal("the rank of its indices is unknown")
    # Merge the axes that the indices have made into one.
    lead, tail = len(at.shape(0)[:axis]), len(at.shape(0)[axis + 1 :])
    flat = op.Reshape(indices, [-1])
    parts = [extent(op, at.x, a) for a in range(lead)]
    parts += [op.Shape(flat), *(extent(op, at.x, axis + 1 + a) for a in range(tail))]
    merged = at.g if rank == 1 else op.Reshape(at.g, op.Concat(*parts, axis=0))
    return [_put(op, merged, at.x, axis, flat)]


@vjp("GatherElements")
def gather_elements(op: Emitter, at: Site) -> list[str]:
    zeros = zeros_like(op, at.x)
    axis = at.integer("axis", 0)
    return [op.ScatterElements(zeros, at.node.input[1], at.g, axis=axis, reduction="add")]


@vjp("GatherND")
def gather_nd(op: Emitter, at: Site) -> list[str]:
    if at.integer("batch_dims", 0):
        raise at.refusal("batch_dims is not built")
    return [op.ScatterND(zeros_like(op, at.x), at.node.input[1], at.g, reduction="add")]


@vjp("TopK")
def top_k(op: Emitter, at: Site) -> list[str]:
    axis = at.integer("axis", -1)
    return [op.ScatterElements(zeros_like(op, at.x), at.node.output[1], at.g, axis=axis)]


@vjp("ScatterElements", operands=(0, 2))
def scatter_elements(op: Emitter, at: Site) -> list[str | None]:
    """Source of the overwritten places: the updates; of all others: the data."""
    mode = at.text("reduction", "none")
    if mode not in {"none", "add"}:
        raise at.refusal(f"reduction '{mode}' is not built, only 'none' and 'add'")
    axis, indices = at.integer("axis", 0), at.node.input[1]
    data: str | None = at.g
    if mode == "none":
        data = op.ScatterElements(at.g, indices, zeros_like(op, at.node.input[2]), axis=axis)
    return [data, op.GatherElements(at.g, indices, axis=axis)]


@vjp("ScatterND", operands=(0, 2))
def scatter_nd(op: Emitter, at: Site) -> list[str | None]:
    mode = at.text("reduction", "none")
    if mode not in {"none", "add"}:
        raise at.refusal(f"reduction '{mode}' is not built, only 'none' and 'add'")
    indices = at.node.input[1]
    data: str | None = at.g
    if mode == "none":
        data = op.ScatterND(at.g, indices, zeros_like(op, at.node.input[2]))
    return [data, op.GatherND(at.g, indices)]
