"""LIME of several inputs: the segments of all of them come and go together, in one linear model.

captum's Lime and KernelShap number the features of a tuple of inputs so, across its tensors; fitted
to one input at a time, the others held, a coefficient would say nothing of what two inputs share.
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from candor.errors import InvalidOption, TooLarge
from candor.explain.fills import resolve_fill, segment_baseline
from candor.explain.layout import over_row
from candor.explain.options import Fill, Lime
from candor.explain.parts import rows_of_parts
from candor.explain.question import Question
from candor.explain.segments import MOST_SEGMENTS, Segmentation, cut, segments_kind, ways_to_cut
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["cut_several", "fills_of", "positions_of_each", "resolve_several", "several_baseline"]


def resolve_several(options: Lime, geometry: Geometry, kernel_width: float) -> Lime:
    """Settle kernel and seed; each input is cut and filled in its own way, so that stays as given.

    Raises:
        InvalidOption: a way to cut that none of the inputs has, a fill that one has not, or
            channels apart.
    """
    if options.channels != "sum":
        raise InvalidOption("lime.channels is 'keep', which models with one input have, a series")
    ways = {way for part in geometry.parts for way in ways_to_cut(part.geometry)}
    if options.segments not in ("auto", *ways):
        raise InvalidOption(
            f"lime.segments is '{options.segments}', which cuts none of the inputs; expected one "
            f"of {', '.join(sorted(ways | {'auto'}))}"
        )
    fills_of(options, geometry)
    return replace(
        options,
        kernel_width=options.kernel_width or kernel_width,
        seed=secrets.randbelow(2**32) if options.seed == -1 else options.seed,
    )


def fills_of(options: Lime, geometry: Geometry) -> Mapping[str, Fill | float]:
    """What stands for a removed segment of each input, by its name.

    Raises:
        InvalidOption: what one of them has not.
    """
    if options.baseline == "training":
        raise InvalidOption(
            "lime.baseline is 'training', which draws records; of several inputs segments are "
            "removed: use 'auto', 'mean', 'zero' or a number"
        )
    found = {}
    for part in geometry.parts:
        try:
            found[part.name] = resolve_fill(options.baseline, part.geometry, grouped=True)
        except InvalidOption as error:
            raise InvalidOption(f"input '{part.name}': {error.message}") from error
    return found


def cut_several(question: Question, options: Lime, geometry: Geometry) -> Segmentation:
    """Cut each input as its kind is cut, and number the segments on from one to the next.

    `positions` are of the whole row, -1 for what is not explained.

    Raises:
        TooLarge: more than `MOST_SEGMENTS` segments together.
    """
    positions = np.full(question.x.shape[1:], -1, dtype=np.int32)
    n, start, kinds = 0, 0, []
    rows = rows_of_parts(question.x, geometry)
    for part, row in zip(geometry.parts, rows, strict=True):
        own = cut(replace(question, x=row), _own(options, part.geometry), part.geometry)
        spread = np.broadcast_to(over_row(own.positions, row, part.geometry), part.shape).ravel()
        stop = start + spread.size
        positions[start:stop] = np.where(spread < 0, -1, spread + n)
        start, n = stop, n + own.n
        kinds.append(f"{part.name}: {own.kind}")
    if n > MOST_SEGMENTS:
        raise TooLarge(
            f"lime explains at most {MOST_SEGMENTS} segments, the inputs have {n} together; use a "
            "smaller n_segments, or shorten them"
        )
    return Segmentation(positions, n, ", ".join(kinds))


def several_baseline(x: Array, positions: Array, options: Lime, geometry: Geometry) -> Array:
    """What stands where a segment is absent, [1, ...] like x; what is not explained stays."""
    filled = x.copy()
    fills, start = fills_of(options, geometry), 0
    rows = rows_of_parts(x, geometry)
    each = positions_of_each(positions, geometry)
    for part, row, own in zip(geometry.parts, rows, each, strict=True):
        made = segment_baseline(row, own, fills[part.name], part.geometry, options.seed)
        stop = start + row.size
        filled[:, start:stop] = made.reshape(1, -1)
        start = stop
    return filled


def positions_of_each(positions: Array, geometry: Geometry) -> list[Array]:
    """The segment of each position of each input, from those of the row; of one input, these."""
    if not geometry.parts:
        return [positions]
    cut_apart = rows_of_parts(positions[None], geometry)
    return [
        own[0] if part.geometry.channel_axis is None else own[0].take(0, part.geometry.channel_axis)
        for part, own in zip(geometry.parts, cut_apart, strict=True)
    ]


def _own(options: Lime, geometry: Geometry) -> Lime:
    """The options with the way to cut that this input has."""
    known = options.segments in ways_to_cut(geometry)
    chosen = replace(options, segments=options.segments if known else "auto")
    return replace(chosen, segments=segments_kind(chosen, geometry))
