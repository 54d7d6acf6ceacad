"""Sizes that a model's inputs and outputs fix or leave free."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from candor.result import Array
from candor.runtime.specs import TensorSpec

__all__ = ["fixed_batch", "of_any_rows", "zeros_for"]

_FREE_SIZE = 8
"""Steps, tokens or pixels of inputs that only warm a model up."""


def fixed_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> int | None:
    """How many rows every run takes and gives, where the graph fixes them; else None.

    An input of one axis is taken for a single row without a batch around it.
    """
    sizes = {spec.shape[0] if spec.shape else -1 for spec in (*inputs, *outputs)}
    batched = all(len(spec.shape) > 1 for spec in inputs)
    return sizes.pop() if batched and len(sizes) == 1 and min(sizes) > 0 else None


def zeros_for(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Make inputs of one row, or as many as are fixed; other free sizes are small."""
    return {
        spec.name: np.zeros(
            [_size(size, axis) for axis, size in enumerate(spec.shape)], dtype=spec.dtype
        )
        for spec in specs
    }


def _size(size: int, axis: int) -> int:
    free = _FREE_SIZE if axis else 1
    return size if size >= 0 else free


def of_any_rows(spec: TensorSpec) -> TensorSpec:
    """The same, its first axis left free."""
    return replace(spec, shape=(-1, *spec.shape[1:]))
