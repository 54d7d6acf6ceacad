"""Random rows for a model that nobody has given any."""

import numpy as np

from candor.result import Array, Geometry
from candor.runtime.specs import TensorSpec

__all__ = ["USUAL_SIZES", "random_rows"]

USUAL_SIZES = {"image": 64, "series": 64, "tokens": 16, "tabular": 8}
"""What a free axis gets where nothing is asked for."""


def random_rows(
    spec: TensorSpec, geometry: Geometry, n: int, size: int | None, rng: np.random.Generator
) -> Array:
    """Draw rows: normal numbers, or token ids without padding.

    Args:
        spec: of the input; where it fixes the number of rows, that is how many come.
        geometry: how a row is laid out.
        n: how many rows.
        size: extent of free axes other than the batch; None: as `USUAL_SIZES` has it.
        rng: source of the numbers.
    """
    free = size or USUAL_SIZES[geometry.kind]
    rows = spec.shape[0] if spec.shape[0] > 0 else n
    shape = (rows, *(extent if extent > 0 else free for extent in spec.shape[1:]))
    if np.issubdtype(spec.dtype, np.integer):
        return rng.integers(1, max(geometry.n_ids or 2, 2), shape).astype(spec.dtype)
    return rng.standard_normal(shape).astype(spec.dtype)
