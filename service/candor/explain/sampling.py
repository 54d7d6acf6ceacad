"""Which segments each perturbation keeps, drawn exactly as the lime package draws them.

The first row keeps everything: the unperturbed input is a sample too. Draws come from numpy's
legacy generator because lime's do; with lime's seed they are lime's masks, bit for bit. They come
in chunks, between which whoever asked can look at the clock.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from candor.errors import TooLarge
from candor.explain.kept import Kept
from candor.explain.subject import Kind
from candor.result import Array

__all__ = ["Draws", "check_cells", "distinct_masks", "drawing", "mask_chunks"]

_MOST_CELLS = 10_000_000
"""Of the mask matrix; it is held in memory as float64 while the surrogate is fitted."""

_CHUNK = 1024
_CHUNK_CELLS = 2**18
"""Samples drawn in one go, and cells of these: about 20 ms at most."""


def check_cells(n_samples: int, n_segments: int) -> None:
    """Refuse more samples than memory should hold for that many segments.

    Raises:
        TooLarge: with how many may be.
    """
    if n_samples * n_segments > _MOST_CELLS:
        raise TooLarge(
            f"{n_samples} samples of {n_segments} segments are too many together; "
            f"use n_samples of at most {_MOST_CELLS // n_segments}"
        )


class Draws(NamedTuple):
    """Masks, and which of them have to be run.

    Attributes:
        masks: bool [m, s]: True keeps the segment.
        distinct: those without repetition, in order of first appearance.
        runs: int [m], each mask's row in `distinct`.
    """

    masks: Array
    distinct: Array
    runs: Array


_DRAWS: Kept[Draws] = Kept(16 * 2**20)
"""Of the whole process: with the seed that is usual, every text of ten words has the same masks."""


def drawing(
    kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1
) -> Generator[int, None, Draws]:
    """Draw masks as `mask_chunks`, or remember them; the answer is shared and read-only.

    Yields after every chunk but the last how many samples are drawn.

    Raises:
        TooLarge: more samples than memory should hold for that many segments.
    """
    check_cells(n_samples, n_segments)
    key = (kind, n_segments, n_samples, seed, n_channels)
    found = _DRAWS.find(key)
    if found is not None:
        return found
    masks = np.empty((n_samples, n_segments), dtype=bool)
    runs = np.empty(n_samples, dtype=np.int64)
    seen: dict[bytes, int] = {}
    n_drawn = 0
    for chunk in mask_chunks(*key):
        at = slice(n_drawn, n_drawn + len(chunk))
        masks[at], runs[at] = chunk, _numbered(chunk, seen)
        n_drawn = at.stop
        if n_drawn < n_samples:
            yield n_drawn
    return _DRAWS.keep(key, Draws(masks, masks[_first(runs)], runs))


def mask_chunks(
    kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1
) -> Iterator[Array]:
    """Draw masks, bool [n_samples, n_segments] in parts: True keeps the segment.

    Args:
        kind: of input; each is drawn in the way of the explainer that lime has for it.
        n_segments: of all channels together.
        n_samples: the unperturbed row counted.
        seed: of numpy's legacy generator.
        n_channels: the segments are as many slices of time in each, numbered channel by channel.
    """
    # lime is reproduced bit for bit, and with it the generator that numpy calls legacy
    generator = np.random.RandomState(seed)
    most = _CHUNK if n_channels == 1 else _CHUNK // 2  # three draws a sample instead of one
    rows = min(most, max(1, _CHUNK_CELLS // n_segments))
    parts = [slice(at, min(at + rows, n_samples)) for at in range(0, n_samples, rows)]
    if n_channels > 1:
        return _removals_by_channel(generator, n_segments // n_channels, n_channels, parts)
    return _SAMPLERS[kind](generator, n_segments, parts)


def distinct_masks(masks: Array) -> tuple[Array, Array]:
    """The masks without repetition, in order of first appearance, and each sample's row in them.

    A model says the same of the same input, so that each need run once only; short sentences repeat
    most of their masks.
    """
    runs = _numbered(masks, {})
    return masks[_first(runs)], runs


def _numbered(masks: Array, seen: dict[bytes, int]) -> Array:
    """Of each mask which one it is of those seen, int64 [m]; what is new is numbered on."""
    packed = np.ascontiguousarray(np.packbits(masks, axis=1))
    rows: list[bytes] = packed.view(f"V{packed.shape[1]}").ravel().tolist()
    return np.array([seen.setdefault(row, len(seen)) for row in rows], dtype=np.int64)


def _first(runs: Array) -> Array:
    """Where each number stands for the first time."""
    return np.flatnonzero(np.diff(np.maximum.accumulate(runs), prepend=-1))


def _halves(
    generator: np.random.RandomState, n_segments: int, parts: Sequence[slice]
) -> Iterator[Array]:
    """As lime_image: each segment is kept with probability one half."""
    for part in parts:
        n_rows = part.stop - part.start
        masks = generator.randint(0, 2, n_rows * n_segments).reshape(n_rows, n_segments) == 1
        masks[0] |= part.start == 0
        yield masks


def _removals(
    generator: np.random.RandomState, n_segments: int, parts: Sequence[slice]
) -> Iterator[Array]:
    """As lime_text: how many are removed is uniform from 1 to all, then which ones."""
    sizes = _sizes(generator, n_segments, parts[-1].stop)
    for part in parts:
        masks = np.ones((part.stop - part.start, n_segments), dtype=bool)
        for row, size in zip(masks, sizes[part], strict=True):
            if size:  # the head of a permutation is choice(replace=False), four times as fast
                row[generator.permutation(n_segments)[:size]] = False
        yield masks


def _removals_by_channel(
    generator: np.random.RandomState, n_slices: int, n_channels: int, parts: Sequence[slice]
) -> Iterator[Array]:
    """As Lime-For-Time of several signals: some slices are removed, in some of the channels."""
    sizes = _sizes(generator, n_slices, parts[-1].stop)
    for part in parts:
        masks = np.ones((part.stop - part.start, n_channels, n_slices), dtype=bool)
        for row, size in zip(masks, sizes[part], strict=True):
            if size:
                slices = generator.permutation(n_slices)[:size]
                n_chosen = generator.randint(1, n_channels + 1)
                channels = generator.permutation(n_channels)[:n_chosen]
                row[np.ix_(channels, slices)] = False
        yield masks.reshape(len(masks), n_channels * n_slices)


def _sizes(generator: np.random.RandomState, n_most: int, n_samples: int) -> Array:
    """How many each sample removes, at least one; the first, the unperturbed row, none."""
    return np.append(0, generator.randint(1, n_most + 1, n_samples - 1))


_Sampler = Callable[[np.random.RandomState, int, Sequence[slice]], Iterator[Array]]
_SAMPLERS: Mapping[Kind, _Sampler] = MappingProxyType(
    {
        "image": _halves,
        "tokens": _removals,
        "series": _removals,
        "tabular": _halves,
        "several": _halves,
    }
)
