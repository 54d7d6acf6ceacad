"""Random operators that move, repeat, cut or join elements."""

import numpy as np
from hypothesis import strategies as st

from gradcheck.case import I64, Case
from properties.drawing import Draw, away, broadcastable, case, draws, shapes, spaced

__all__ = ["gathers", "joins", "pads", "resizes", "shapings", "slices"]


def _ints(values: list[int]) -> np.ndarray:
    return np.array(values, I64)


def _signed(draw: Draw, axis: int, rank: int) -> int:
    return axis - rank if draw(st.booleans()) else axis


@draws
def slices(draw: Draw) -> Case:
    shape = draw(shapes(1, 4))
    rank = len(shape)
    axes = draw(st.lists(st.sampled_from(range(rank)), min_size=1, unique=True))
    bounds = []
    for axis in axes:
        step = draw(st.sampled_from((1, 1, 1, 2, 3, -1, -2)))
        edge = st.integers(-shape[axis] - 2, shape[axis] + 2)
        start, end = draw(edge), draw(edge)
        picked = range(shape[axis])[slice(start, end, step)]
        if len(picked) == 0:  # an empty result is no classifier's
            start, end = (0, 2**31) if step > 0 else (2**31, -(2**31))
        bounds.append((start, end, step))
    starts, ends, steps = (_ints(list(column)) for column in zip(*bounds, strict=True))
    named = _ints([_signed(draw, axis, rank) for axis in axes])
    if set(steps.tolist()) == {1} and draw(st.booleans()):
        return case("Slice", away(draw, *shape), starts, ends, named)
    return case("Slice", away(draw, *shape), starts, ends, named, steps)


@draws
def pads(draw: Draw) -> Case:
    shape = draw(shapes(1, 3))
    rank = len(shape)
    mode = draw(st.sampled_from(("constant", "constant", "edge", "reflect", "wrap")))
    axes = draw(st.lists(st.sampled_from(range(rank)), min_size=1, unique=True))
    begins, ends = [], []
    for axis in axes:
        most = {"reflect": shape[axis] - 1, "wrap": shape[axis]}.get(mode, 3)
        begin = draw(st.integers(-2 if mode == "constant" else 0, most))
        end = draw(st.integers(-2 if mode == "constant" else 0, most))
        if shape[axis] + min(begin, 0) + min(end, 0) < 1:
            begin, end = abs(begin), abs(end)
        begins.append(begin)
        ends.append(end)
    value = np.array(draw(st.sampled_from((0.0, 1.5)))) if mode == "constant" else None
    named = _ints([_signed(draw, axis, rank) for axis in axes])
    return case("Pad", away(draw, *shape), _ints(begins + ends), value, named, mode=mode)


@draws
def gathers(draw: Draw) -> Case:
    op = draw(st.sampled_from(("Gather", "GatherElements", "GatherND", "ScatterElements",
                               "ScatterND", "TopK")))  # fmt: skip
    shape = draw(shapes(1, 4))
    rank = len(shape)
    axis = draw(st.integers(0, rank - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signed = _signed(draw, axis, rank)
    x = away(draw, *shape)
    if op == "Gather":
        picks = rng.integers(-shape[axis], shape[axis], draw(shapes(0, 2)))
        return case(op, x, np.asarray(picks, I64), axis=signed)
    if op == "TopK":
        k = _ints([draw(st.integers(1, shape[axis]))])
        return case(op, spaced(draw, *shape), k, axis=signed, outputs=2,
                    largest=draw(st.integers(0, 1)))  # fmt: skip
    if op == "GatherElements":
        size = [draw(st.integers(1, s)) if a != axis else draw(st.integers(1, 5))
                for a, s in enumerate(shape)]  # fmt: skip
        picks = rng.integers(-shape[axis], shape[axis], size)
        return case(op, x, picks.astype(I64), axis=signed)
    adds = draw(st.booleans())
    attributes = {"reduction": "add"} if adds else {}
    if op == "ScatterElements":
        size = [draw(st.integers(1, s)) for s in shape]
        picks = np.argsort(rng.random(shape), axis)  # each place once, as 'none' wants it
        picks = picks[tuple(slice(s) for s in size)]
        return case(op, x, picks.astype(I64), away(draw, *size), vary=(0, 2), axis=signed,
                    **attributes)  # fmt: skip
    depth = draw(st.integers(1, rank))
    places = rng.permutation(int(np.prod(shape[:depth])))[: draw(st.integers(1, 4))]
    indices = np.stack(np.unravel_index(places, shape[:depth]), axis=-1).astype(I64)
    if op == "GatherND":
        return case(op, x, indices)
    return case(op, x, indices, away(draw, len(places), *shape[depth:]), vary=(0, 2), **attributes)


@draws
def joins(draw: Draw) -> Case:
    shape = list(draw(shapes(1, 4)))
    axis = draw(st.integers(0, len(shape) - 1))
    signed = _signed(draw, axis, len(shape))
    widths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    parts = [[*shape[:axis], width, *shape[axis + 1 :]] for width in widths]
    if draw(st.booleans()):
        return case("Concat", *(away(draw, *part) for part in parts),
                    vary=tuple(range(len(parts))), axis=signed)  # fmt: skip
    shape[axis] = sum(widths)
    if draw(st.booleans()):
        return case("Split", away(draw, *shape), _ints(widths), axis=signed, outputs=len(widths))
    # The last of equal parts may be smaller.
    count = draw(st.integers(1, shape[axis]))
    share = -(-shape[axis] // count)
    if share * (count - 1) >= shape[axis]:
        count = 1
    return case("Split", away(draw, *shape), axis=signed, num_outputs=count, outputs=count)


@draws
def shapings(draw: Draw) -> Case:  # noqa: C901 - one form after the other
    op = draw(st.sampled_from((
        "Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze", "Expand", "Tile", "CumSum",
        "DepthToSpace", "SpaceToDepth", "Trilu",
    )))  # fmt: skip
    shape = draw(shapes(2 if op == "Trilu" else 1, 4))
    rank = len(shape)
    x = away(draw, *shape)
    if op == "Transpose":
        return case(op, x, perm=draw(st.permutations(range(rank))))
    if op == "Reshape":
        target = [0, *draw(st.permutations(shape[1:]))]
        if draw(st.booleans()):
            target[draw(st.integers(0, rank - 1))] = -1
        return case(op, x, _ints(target))
    if op == "Flatten":
        return case(op, x, axis=draw(st.integers(-rank, rank)))
    if op == "Unsqueeze":
        axes = draw(st.lists(st.integers(0, rank), min_size=1, max_size=2, unique=True))
        whole = rank + len(axes)
        return case(op, x, _ints([_signed(draw, axis, whole) for axis in axes]))
    if op == "Squeeze":
        axis = draw(st.integers(0, rank))
        wide = np.expand_dims(x, axis)
        return case(op, wide, _ints([_signed(draw, axis, rank + 1)]))
    if op == "Expand":
        return case(op, away(draw, *draw(broadcastable(shape))), _ints(list(shape)))
    if op == "Tile":
        return case(op, x, _ints([draw(st.integers(1, 3)) for _ in shape]))
    if op == "CumSum":
        axis = _signed(draw, draw(st.integers(0, rank - 1)), rank)
        return case(op, x, np.array(axis, I64), exclusive=draw(st.integers(0, 1)),
                    reverse=draw(st.integers(0, 1)))  # fmt: skip
    if op == "Trilu":
        return case(op, x, np.array(draw(st.integers(-3, 3)), I64), upper=draw(st.integers(0, 1)))
    block, c, n = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    h, w = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if op == "SpaceToDepth":
        return case(op, away(draw, n, c, h * block, w * block), blocksize=block)
    mode = draw(st.sampled_from(("DCR", "CRD")))
    return case(op, away(draw, n, c * block**2, h, w), blocksize=block, mode=mode)


@draws
def resizes(draw: Draw) -> Case:
    mode = draw(st.sampled_from(("nearest", "linear", "cubic")))
    transform = draw(st.sampled_from(
        ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")))  # fmt: skip
    attributes: dict[str, object] = {"mode": mode, "coordinate_transformation_mode": transform}
    if mode == "nearest":
        attributes["nearest_mode"] = draw(st.sampled_from(
            ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")))  # fmt: skip
    if mode == "cubic":
        attributes["cubic_coeff_a"] = draw(st.sampled_from((-0.75, -0.5)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *draw(st.tuples(*[st.integers(2, 6)]
             * 2)))  # fmt: skip
    x = away(draw, *shape)
    if draw(st.booleans()):
        sizes = [*shape[:2], draw(st.integers(1, 9)), draw(st.integers(1, 9))]
        return case("Resize", x, None, None, _ints(sizes), **attributes)
    scales = [1, 1, *(draw(st.sampled_from((0.5, 1.0, 1.5, 2.0, 3.0))) for _ in range(2))]
    return case("Resize", x, None, np.array(scales, np.float32), **attributes)
