"""The way back through a maximum over windows, one axis after the other.

The maximum of a window is the maximum over its rows of each row's maximum, and its first maximum
(in the order of memory) is the first in the first such row. So a cotangent finds its element by
k + k comparisons instead of k * k, and what ONNX Runtime's CPU provider does in its blocked layout
is enough for them, where asking MaxPool for its indices and scattering by them is slow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from onnx import TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.moves import added, by_one, moved
from candor.autodiff.rules.pairs import STEEP, by_pairs
from candor.autodiff.rules.table import Site, Woven
from candor.autodiff.rules.weave import weave
from candor.autodiff.rules.window import Window, window

__all__ = ["before_pool", "unpool"]

_BLOCK = 16  # channels; poolings of others leave the blocked layout, which convolutions fill up


@dataclass(frozen=True, slots=True)
class _Grid:
    """What one pooling pulls back: its windows, their extents x, their results y, the maxima.

    `maxima[a]` are over the windows of the axes from a on: the last is the operand, the first the
    result of the node.
    """

    view: Window
    x: tuple[int, ...]
    y: tuple[int, ...]
    maxima: tuple[str, ...]


def unpool(op: Emitter, at: Site) -> str | None:
    """Give each cotangent to its window's first maximum; None where this form does not fit.

    It must be float32, extents known, the kernel undilated and at least as large as the stride.
    """
    grid, g = _grid(op, at), at.g
    if grid is None:
        return None
    if int((op.graph.shape(g) or ())[1] or 0) % _BLOCK:
        maxima = (*(by_one(op, value) for value in grid.maxima[:-1]), at.x)
        grid, g = replace(grid, maxima=maxima), by_one(op, g)
    parts: dict[tuple[int, ...], str] = {(): g}
    for _ in grid.x:
        parts = {
            (*key, phase): part
            for key, pulled in parts.items()
            for phase, part in enumerate(_pulled(op, pulled, key, grid))
        }
    return weave(op, at.woven, Woven(parts, grid.view.strides, pool=at), grid.x)


def _grid(op: Emitter, at: Site) -> _Grid | None:
    view = window(at, at.integers("kernel_shape"))
    extents, results = static(at.shape(0)[1:]), static((op.graph.shape(at.g) or (None, None))[1:])
    if extents is None or results is None or set(view.dilations) != {1}:
        return None
    if static((op.graph.shape(at.y) or (None, None))[1:]) != results:
        return None
    x, y = extents[1:], results[1:]
    axes = zip(view.kernel, view.strides, x, strict=True)
    fits = all(kernel >= stride <= extent for kernel, stride, extent in axes)
    single = op.graph.dtype(at.x) == TensorProto.FLOAT  # the runtime convolves no float64
    if not fits or not single or min((*view.begins, *view.ends)) < 0:
        return None
    if y != _counts(view, x, ceil=bool(at.integer("ceil_mode", 0))):
        return None  # onnx 1.23 infers a window too many in the padding alone, before opset 22
    maxima = [at.x]
    for axis in reversed(range(1, len(y))):
        maxima.append(_along(op, maxima[-1], axis, view, y[axis]))
    return _Grid(view, x, y, (at.y, *maxima[::-1]))


def _counts(view: Window, extents: tuple[int, ...], *, ceil: bool) -> tuple[int, ...]:
    """Return how many windows there are: each begins within the operand or the padding before."""
    counts = []
    for axis, extent in enumerate(extents):
        begin, stride = view.begins[axis], view.strides[axis]
        room = extent + begin + view.ends[axis] - view.kernel[axis]
        counts.append((-(-room // stride) if ceil else room // stride) + 1)
        if ceil and (counts[-1] - 1) * stride >= extent + begin:
            counts[-1] -= 1
    return tuple(counts)


def before_pool(op: Emitter, at: Site, change: Callable[[str], str]) -> str | None:
    """Change what a MaxPool passes back before it does, where there is less of it.

    None if the cotangent at this site does not come from one.
    """
    found = at.woven.get(at.g)
    if found is None or found.pool is None:
        return None
    pool = found.pool
    return unpool(op, replace(pool, cotangents=(change(pool.g), *pool.cotangents[1:])))


def _along(op: Emitter, x: str, axis: int, view: Window, count: int) -> str:
    """Take the maximum along one axis of x [n, c, *spatial]."""
    n = len(view.kernel)
    kernel, strides, begins, ends = [1] * n, [1] * n, [0] * n, [0] * n
    kernel[axis], strides[axis], begins[axis] = (
        view.kernel[axis], view.strides[axis], view.begins[axis],
    )  # fmt: skip
    extent = (op.graph.shape(x) or ())[axis + 2]
    last = (count - 1) * strides[axis] + kernel[axis] - begins[axis]
    ends[axis] = max(0, last - int(extent or 0))
    return op.MaxPool(x, kernel_shape=kernel, strides=strides, pads=[*begins, *ends])


def _pulled(op: Emitter, g: str, key: tuple[int, ...], grid: _Grid) -> list[str]:
    """Carry the cotangents of maxima to the first equal element below, along the next axis.

    `key` says which rows (columns, ...) of the axes before g is for. One result for each phase of
    the stride: the cotangents of every s-th element.
    """
    axis, view = len(key), grid.view
    if _slides(view, axis):
        return [by_pairs(op, g, grid.maxima[axis + 1], axis)]
    stride, begin, taps = view.strides[axis], view.begins[axis], view.kernel[axis]
    count, top, below = grid.y[axis], grid.maxima[axis], grid.maxima[axis + 1]
    shape = list(static((op.graph.shape(g) or ())[2:]) or ())
    rest = [0] * (len(shape) - axis - 1)

    def cut(value: str, first: int, size: int, step: int = 1, factor: float = 1.0) -> str:
        """Take elements along the axis; of values with all rows of the axes before it, those."""
        whole = value in (top, below)
        before = list(key) if whole else [0] * axis
        strides = list(view.strides[:axis]) if whole else [1] * axis
        sizes = [*shape[:axis], size, *shape[axis + 1 :]]
        strides = [*strides, step, *[1] * len(rest)]
        return moved(op, value, [*before, first, *rest], strides, sizes, factor)

    phases: list[list[str]] = [[] for _ in range(stride)]
    extents = [-(-(grid.x[axis] - phase) // stride) for phase in range(stride)]
    for tap in range(taps):
        shift, phase = divmod(tap - begin, stride)
        elements = extents[phase]
        low, high = max(0, -shift), min(count, elements - shift)  # windows that hold the tap
        if low >= high:
            continue
        if tap == taps - 1:  # nothing is left to others
            phases[phase].append(cut(g, -shift, elements))
            continue
        size, first = high - low, stride * low + tap - begin
        gap = op.Add(cut(below, first, size, stride, -1.0), cut(top, low, size))
        hit = op.Mul(cut(g, low, size), _zero(op, gap))
        phases[phase].append(cut(hit, -shift - low, elements))
        g = op.Add(cut(hit, -low, count, 1, -1.0), g)
    return [
        added(op, parts or [cut(g, 0, elements, 1, 0.0)])
        for parts, elements in zip(phases, extents, strict=True)
    ]


def _slides(view: Window, axis: int) -> bool:
    """Tell whether windows of three move by one over all elements: the poolings of inception."""
    ends = (view.begins[axis], view.ends[axis])
    return view.kernel[axis] == 3 and ends == (1, 1) and set(view.strides) == {1}


def _zero(op: Emitter, gap: str) -> str:
    """Return 1 where a gap >= 0 is 0, and 0 elsewhere, by a steep ramp.

    The runtime fuses it with the sum, and that with the convolution before it.
    """
    return op.HardSigmoid(gap, alpha=-STEEP, beta=1.0)
