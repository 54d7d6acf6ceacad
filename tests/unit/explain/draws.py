"""Masks drawn to the end."""

import numpy as np

from candor.explain.sampling import Draws, drawing, mask_chunks
from candor.explain.steps import ended
from candor.explain.subject import Kind
from candor.result import Array


def drawn(kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1) -> Draws:
    """As `drawing`, in one go."""
    return ended(drawing(kind, n_segments, n_samples, seed, n_channels))


def draw_masks(
    kind: Kind, n_segments: int, n_samples: int, seed: int, n_channels: int = 1
) -> Array:
    """As `mask_chunks`, in one piece."""
    return np.concatenate([*mask_chunks(kind, n_segments, n_samples, seed, n_channels)])
