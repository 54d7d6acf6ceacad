"""What stands where something is absent, always in the model's own input space: one number."""

import numpy as np

from candor.errors import InvalidOption
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["absent_value", "constant_baseline"]


def absent_value(given: float | None, geometry: Geometry) -> float:
    """The number that means 'absent' where the caller named none.

    Of tokens it is the padding's id, else what the model's manifest says, else 0.

    Raises:
        InvalidOption: a token id that is not a whole number of at least 0, or that the model does
            not know.
    """
    if given is None:
        return float((geometry.pad if geometry.kind == "tokens" else geometry.baseline) or 0)
    if geometry.kind == "tokens" and (given < 0 or not float(given).is_integer()):
        raise InvalidOption(
            f"baseline is {given:g}, expected a token id: a whole number, 0 or more"
        )
    if geometry.n_ids is not None and given >= geometry.n_ids:
        raise InvalidOption(
            f"baseline is {given:.0f}, expected a token id: the model knows 0 to "
            f"{geometry.n_ids - 1}"
        )
    return float(given)


def constant_baseline(x: Array, value: float, geometry: Geometry) -> Array:
    """One number everywhere, [1, ...] like x; padding tokens stay what they are."""
    baseline = np.full_like(x, value)
    if geometry.kind == "tokens" and geometry.pad is not None:
        baseline[x == geometry.pad] = geometry.pad
    return baseline
