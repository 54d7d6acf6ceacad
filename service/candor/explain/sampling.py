"""Which segments each perturbation keeps, drawn exactly as the lime package draws them.

The first row keeps everything: the unperturbed input is a sample too. Draws come from numpy's
legacy generator because lime's do; with lime's seed they are lime's masks, bit for bit.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from candor.errors import TooLarge
from candor.explain.kept import Kept
from candor.explain.subject import Kind
from candor.result import Array

__all__ = ["Draws", "check_cells", "distinct_masks", "draw_masks", "drawn"]

_MOST_CELLS = 10_000_000
"""Of the mask matrix; it is held in memory as float64 while the surrogate is fitted."""


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


def drawn(kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1) -> Draws:
    """Draw masks as `draw_masks`, or remember them; the answer is shared and read-only.

    Raises:
        TooLarge: more samples than memory should hold for that many segments.
    """

    def make() -> Draws:
        masks = draw_masks(kind, n_segments, n_samples, seed, n_channels)
        return Draws(masks, *distinct_masks(masks))

    return _DRAWS.get((kind, n_segments, n_samples, seed, n_channels), make)


def draw_masks(
    kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1
) -> Array:
    """Draw masks, bool [n_samples, n_segments]: True keeps the segment.

    Args:
        kind: of input; each is drawn in the way of the explainer that lime has for it.
        n_segments: of all channels together.
        n_samples: the unperturbed row counted.
        seed: of numpy's legacy generator.
        n_channels: the segments are as many slices of time in each, numbered channel by channel.

    Raises:
        TooLarge: more samples than memory should hold for that many segments.
    """
    check_cells(n_samples, n_segments)
    # lime is reproduced bit for bit, and with it the generator that numpy calls legacy
    generator = np.random.RandomState(seed)
    if n_channels > 1:
        return _removals_by_channel(generator, n_segments // n_channels, n_channels, n_samples)
    return _SAMPLERS[kind](generator, n_segments, n_samples)


def distinct_masks(masks: Array) -> tuple[Array, Array]:
    """The masks without repetition, in order of first appearance, and each sample's row in them.

    A model says the same of the same input, so that each need run once only; short sentences repeat
    most of their masks.
    """
    packed = np.packbits(masks, axis=1)
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, index = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return masks[first[order]], rank[index]


def _halves(generator: np.random.RandomState, n_segments: int, n_samples: int) -> Array:
    """As lime_image: each segment is kept with probability one half."""
    drawn = generator.randint(0, 2, n_samples * n_segments)
    masks: Array = drawn.reshape(n_samples, n_segments) == 1
    masks[0] = True
    return masks


def _removals(generator: np.random.RandomState, n_segments: int, n_samples: int) -> Array:
    """As lime_text: how many are removed is uniform from 1 to all, then which ones."""
    sizes = generator.randint(1, n_segments + 1, n_samples - 1)
    masks = np.ones((n_samples, n_segments), dtype=bool)
    for row, size in zip(masks[1:], sizes, strict=True):
        # choice(replace=False) is the head of a permutation; asking for that is four times as fast
        row[generator.permutation(n_segments)[:size]] = False
    return masks


def _removals_by_channel(
    generator: np.random.RandomState, n_slices: int, n_channels: int, n_samples: int
) -> Array:
    """As Lime-For-Time of several signals: some slices are removed, in some of the channels."""
    sizes = generator.randint(1, n_slices + 1, n_samples - 1)
    masks = np.ones((n_samples, n_channels, n_slices), dtype=bool)
    for row, size in zip(masks[1:], sizes, strict=True):
        slices = generator.permutation(n_slices)[:size]
        n_chosen = generator.randint(1, n_channels + 1)
        channels = generator.permutation(n_channels)[:n_chosen]
        row[np.ix_(channels, slices)] = False
    return masks.reshape(n_samples, n_channels * n_slices)


_SAMPLERS: Mapping[Kind, Callable[[np.random.RandomState, int, int], Array]] = MappingProxyType(
    {"image": _halves, "tokens": _removals, "series": _removals, "tabular": _halves}
)
