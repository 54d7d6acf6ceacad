"""How an operator carries the positions of a picture or series on to its result."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from onnx import NodeProto

from candor.autodiff.graph import Graph
from candor.autodiff.sizes import Extent, times

__all__ = ["FOLLOW", "POINTWISE", "Layout", "Layouts", "cuts", "projected"]


class Layout(NamedTuple):
    """Axes of a value: its rows, its channels, and its positions in the order of the input's.

    Where one axis holds all positions, `grid` says of what extents, and `skipped` how many entries
    (class tokens) come before the first.
    """

    channel: int = 1
    spatial: tuple[int, ...] = (2, 3)
    batch: int = 0
    grid: tuple[int, ...] = ()
    skipped: int = 0

    @property
    def n_axes(self) -> int:
        """How many axes the positions have: 2 in a picture, 1 in a series."""
        return len(self.grid or self.spatial)


Layouts = dict[str, Layout]
_Follow = Callable[[Graph, NodeProto, Layouts], Layout | None]


def _window(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    del known
    rank = graph.rank(node.output[0])
    return None if rank is None or rank < 3 else Layout(spatial=tuple(range(2, rank)))


def _pointwise(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    shape = graph.shape(node.output[0])
    if shape is None:
        return next((known[name] for name in node.input if name in known), None)
    able = [n for n in node.input if n in known and graph.rank(n) == len(shape)]

    def covers(name: str) -> bool:
        own = graph.shape(name) or ()
        return all(own[axis] == shape[axis] for axis in known[name].spatial)

    return next((known[name] for name in sorted(able, key=covers, reverse=True)), None)


def _first(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    del graph
    return known.get(node.input[0])


def projected(graph: Graph, node: NodeProto) -> Layout | None:
    """Return the layout that a product with weights gives an input of its own: channels last."""
    rank = graph.rank(node.output[0])
    if rank is None or rank < 3 or graph.constant(node.input[1]) is None:
        return None
    return Layout(channel=rank - 1, spatial=tuple(range(1, rank - 1)))


def _product(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    layout, rank = known.get(node.input[0]), graph.rank(node.input[0])
    by_weights = graph.constant(node.input[1]) is not None and graph.rank(node.input[1]) == 2
    at_the_end = layout is not None and rank is not None and layout.channel == rank - 1
    return layout if by_weights and at_the_end else None


def _transposed(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    layout, rank = known.get(node.input[0]), graph.rank(node.input[0])
    if layout is None or rank is None:
        return None
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
    place = (perm or list(reversed(range(rank)))).index
    return layout._replace(
        batch=place(layout.batch),
        channel=place(layout.channel),
        spatial=tuple(map(place, layout.spatial)),
    )


def _joined(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    """Along the channels anything may be joined; along the positions, tokens before them."""
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    axis %= graph.rank(node.output[0]) or 1
    first = next((i for i, name in enumerate(node.input) if name in known), None)
    if first is None:
        return None
    layout = known[node.input[first]]
    if axis == layout.channel:
        return layout
    if (axis,) != layout.spatial or sum(name in known for name in node.input) > 1:
        return None
    shape = graph.shape(node.input[first]) or ()
    extent = shape[axis] if axis < len(shape) else None
    widths = [(graph.shape(name) or {axis: None})[axis] for name in node.input[:first]]
    if not isinstance(extent, int) or not all(isinstance(width, int) for width in widths):
        return None
    before = sum(width for width in widths if isinstance(width, int))
    return layout._replace(grid=layout.grid or (extent,), skipped=layout.skipped + before)


def _sliced(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    layout, cut = known.get(node.input[0]), cuts(graph, node)
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if layout is None or cut is None or before is None or after is None:
        return None
    for axis, start, _, step in cut:
        wide, left = before[axis], after[axis]
        if axis == layout.channel:
            continue
        if not isinstance(wide, int) or not isinstance(left, int) or axis not in layout.spatial:
            return None
        if layout.grid:
            gone = min(start, wide) if start >= 0 else wide + start
            layout = layout._replace(skipped=layout.skipped - gone)
            if step != 1 or layout.skipped < 0 or left < layout.skipped + math.prod(layout.grid):
                return None
        elif step < 1 or left != -(-wide // step):
            return None
    return layout


def cuts(graph: Graph, node: NodeProto) -> list[tuple[int, int, int, int]] | None:
    """Return axis, start, end and step of each part of a Slice, where they are constants."""
    rank = graph.rank(node.input[0])
    given = [graph.constant(name) if name else None for name in node.input[1:]]
    if rank is None or len(given) < 2 or given[0] is None or given[1] is None:
        return None
    if any(array is None and name for array, name in zip(given, node.input[1:], strict=True)):
        return None
    starts, ends = given[0].tolist(), given[1].tolist()
    axes = range(len(starts)) if len(given) < 3 or given[2] is None else given[2].tolist()
    steps = [1] * len(starts) if len(given) < 4 or given[3] is None else given[3].tolist()
    return [(a % rank, s, e, t) for a, s, e, t in zip(axes, starts, ends, steps, strict=True)]


def _regrouped(graph: Graph, node: NodeProto, known: Layouts) -> Layout | None:
    """Follow axes through a reshaping that merges all positions, parts them or leaves them."""
    layout = known.get(node.input[0])
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if layout is None or before is None or after is None:
        return None
    to = {axis: (own, made) for own, made in _groups(before, after) for axis in own}
    alone = {axis: made[0] for axis, (own, made) in to.items() if len(own) == len(made) == 1}
    wide = tuple(axis for axis in layout.spatial if before[axis] != 1)
    if not wide or layout.batch not in alone or layout.channel not in alone:
        return None
    moved = layout._replace(batch=alone[layout.batch], channel=alone[layout.channel])
    if all(axis in alone for axis in wide):
        return moved._replace(spatial=tuple(alone[axis] for axis in wide))
    own, made = to.get(wide[0], ((), ()))
    grid = tuple(extent for axis in wide if isinstance(extent := before[axis], int))
    if own == wide and len(made) == 1 and not layout.grid and len(grid) == len(wide):
        return moved._replace(spatial=made, grid=grid)
    parted = own == wide and tuple(after[axis] for axis in made) == layout.grid
    return moved._replace(spatial=made, grid=()) if parted and not layout.skipped else None


def _groups(
    before: Sequence[Extent], after: Sequence[Extent]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pair up the smallest runs of axes that hold as much, axes of extent 1 left out.

    Empty where it cannot be told.
    """
    left = [axis for axis, extent in enumerate(before) if extent != 1]
    right = [axis for axis, extent in enumerate(after) if extent != 1]
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    while left and right:
        own: tuple[int, ...] = (left.pop(0),)
        made: tuple[int, ...] = (right.pop(0),)
        one, two = before[own[0]], after[made[0]]
        while one != two or one is None:
            if one is None or two is None or not (left if _is_less(one, two) else right):
                return []
            if _is_less(one, two):
                own = (*own, left.pop(0))
                one = times(one, before[own[-1]])
            else:
                made = (*made, right.pop(0))
                two = times(two, after[made[-1]])
        groups.append((own, made))
    return [] if left or right else groups


def _is_less(one: int | str, two: int | str) -> bool:
    """Tell which of two products lacks a factor: "batch" is less than "4*batch", 3 than 12."""
    if isinstance(one, int) and isinstance(two, int):
        return one < two
    return isinstance(one, int) or (isinstance(two, str) and len(one) < len(two))


WINDOWS: Final = frozenset({"AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool"})

POINTWISE: Final = frozenset(
    "Add BatchNormalization Cast Celu Clip DequantizeLinear Div Dropout DynamicQuantizeLinear Elu "
    "Gelu GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LRN LeakyRelu "
    "Max Mish Mul PRelu Pow QuantizeLinear Relu Resize Selu Shrink Sigmoid Softplus Softsign Sub "
    "Sum Swish Tanh ThresholdedRelu".split()
)

_FIRST: Final = frozenset(
    "DepthToSpace LayerNormalization LpNormalization Pad RMSNormalization SpaceToDepth".split()
)

FOLLOW: Final[dict[str, _Follow]] = {
    **dict.fromkeys(WINDOWS, _window),
    **dict.fromkeys(POINTWISE | {"Erf", "Exp", "Neg", "Sqrt", "Where"}, _pointwise),
    **dict.fromkeys(_FIRST, _first),
    **dict.fromkeys(["Flatten", "Reshape", "Squeeze", "Unsqueeze"], _regrouped),
    "Concat": _joined,
    "MatMul": _product,
    "Slice": _sliced,
    "Transpose": _transposed,
}
