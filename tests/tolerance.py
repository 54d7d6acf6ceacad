"""When two gradients of the same network are the same, computed in different precisions."""

import numpy as np

from candor.result import Array


def assert_gradients_agree(found: Array, wanted: Array, seed: int) -> None:
    """Compare float32 gradients with float64 ones, row by row.

    A gradient jumps where a ReLU or a maximum changes sides, and a rounding error of 1e-7 in an
    activation is enough for that: rarely, a whole patch of one row differs for good reason. So all
    rows but one in eight must agree to 1e-5 of their largest element in 99.9 % of the elements, and
    no row may point elsewhere.
    """
    assert found.shape == wanted.shape, f"{found.shape} is not {wanted.shape}"
    flipped = 0
    for row, (a, b) in enumerate(zip(found, wanted, strict=True)):
        close = np.mean(np.abs(a - b) <= 1e-5 * np.abs(b).max())
        cosine = (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))
        assert cosine > 0.99, f"seed {seed}, row {row}: cosine {cosine}"
        flipped += close < 0.999
    assert flipped <= len(found) / 8, f"seed {seed}: {flipped} of {len(found)} rows differ"
