"""When two gradients of the same network are the same, computed in different precisions."""

import numpy as np

from candor.result import Array


def assert_gradients_agree(found: Array, wanted: Array, seed: int) -> None:
    """Compare float32 gradients with float64 ones, row by row.

    A gradient jumps where a ReLU or a maximum changes sides, and a rounding error of 1e-7 in an
    activation is enough for that: rarely, a whole patch of one row differs for good reason. So all
    rows but one in eight must agree.
    """
    assert found.shape == wanted.shape, f"{found.shape} is not {wanted.shape}"
    pairs = zip(found, wanted, strict=True)
    differ = [row for row, (a, b) in enumerate(pairs) if not agree(a, b)]
    assert len(differ) <= len(found) // 8, f"seed {seed}: rows {differ} of {len(found)} differ"


def agree(found: Array, wanted: Array) -> bool:
    """One row: 99.9 % of the elements within 1e-5 of the largest, and the same direction.

    A row may be all zeros, where a network's last rectifiers are closed, and must be found so.
    """
    close = np.mean(np.abs(found - wanted) <= 1e-5 * np.abs(wanted).max())
    lengths = np.linalg.norm(found) * np.linalg.norm(wanted)
    return bool(close >= 0.999 and np.vdot(found, wanted) >= (1 - 1e-6) * lengths)
