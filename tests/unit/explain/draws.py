"""Masks drawn to the end."""

from collections.abc import Generator
from typing import TypeVar

import numpy as np

from candor.explain.sampling import Draws, drawing, mask_chunks
from candor.explain.subject import Kind
from candor.result import Array

T = TypeVar("T")


def ended(steps: Generator[int, None, T]) -> tuple[list[int], T]:
    """What was yielded, and what came of it."""
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return told, end.value


def drawn(kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1) -> Draws:
    """As `drawing`, in one go."""
    return ended(drawing(kind, n_segments, n_samples, seed, n_channels))[1]


def draw_masks(
    kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1
) -> Array:
    """As `mask_chunks`, in one piece."""
    return np.concatenate([*mask_chunks(kind, n_segments, n_samples, seed, n_channels)])
