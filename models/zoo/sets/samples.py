"""What every loader gives: rows with their targets, and the facts that a card has to state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows and their classes.

    Attributes:
        inputs: [n, ...], as stored: pictures uint8 [n, c, h, w], series float32 [n, t, f], each
            padded with zero steps to the longest.
        classes: int64 [n].
    """

    inputs: Array
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.classes)

    def take(self, index: NDArray[np.int64]) -> Samples:
        """Return the rows at `index`."""
        return Samples(self.inputs[index], self.classes[index])


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set with a training split, and one that a trained network is measured on, once.

    Attributes:
        title: as a card names it.
        labels: of the classes, in order.
        load: (root of the data, "train", `measured` or `develop`) -> rows.
        facts: lines for the card: size, split, what is particular about this copy.
        citation: of the set.
        licence: of the set, and so of weights made from it.
        measured: the split that scores are of; another where the source's test split has no
            public classes.
        develop: the split on which a run's epoch is chosen; empty: the source has none for it.
    """

    title: str
    labels: Sequence[str]
    load: Callable[[Path, str], Samples]
    facts: Sequence[str]
    citation: str
    licence: str
    measured: str = "test"
    develop: str = ""


def hold_out(samples: Samples, count: int, seed: int) -> tuple[Samples, Samples]:
    """Hold out `count` rows, drawn by seed, the same share of every class; return (rest, held).

    With count 0 nothing is held out.
    """
    rng = np.random.default_rng((seed, 0x5E1D))
    share = count / len(samples)
    chosen = [
        rng.permutation(np.flatnonzero(samples.classes == k))[: round(share * size)]
        for k, size in enumerate(np.bincount(samples.classes))
    ]
    held = np.sort(np.concatenate(chosen)).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(samples)), held).astype(np.int64)
    return samples.take(rest), samples.take(held)


def lengths(inputs: Array) -> NDArray[np.int64]:
    """Return how many steps of each row [n, t, ...] come before the zero steps that fill it up."""
    there = np.any(inputs.reshape(*inputs.shape[:2], -1) != 0, axis=2)
    ends: NDArray[np.int64] = inputs.shape[1] - there[:, ::-1].argmax(axis=1)
    return ends


def stack_series(rows: Sequence[Array]) -> NDArray[np.float32]:
    """Pad series [t, ...] of any lengths with zeros to the longest: float32 [n, t, ...]."""
    shape = (len(rows), max(map(len, rows)), *rows[0].shape[1:])
    out = np.zeros(shape, np.float32)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return out
