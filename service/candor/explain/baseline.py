"""What stands where something is absent, always in the model's own input space: one number."""

import numpy as np

from candor.errors import InvalidOption
from candor.explain.parts import geometries, rows_of_parts
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["absent_value", "baseline_of_parts", "constant_baseline", "shared_absent_value"]


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


def shared_absent_value(given: float | None, geometry: Geometry) -> float | None:
    """As `absent_value`; of several inputs None where none is given: each has its own.

    Raises:
        InvalidOption: as `absent_value`, of any of the inputs.
    """
    if not geometry.parts:
        return absent_value(given, geometry)
    for own in geometries(geometry):
        absent_value(given, own)
    return given


def baseline_of_parts(x: Array, value: float | None, geometry: Geometry) -> Array:
    """As `constant_baseline`, each part's own value where none is given.

    What is not explained stays as it is.
    """
    if not geometry.parts:
        return constant_baseline(x, value or 0.0, geometry)
    rows = zip(rows_of_parts(x, geometry), geometries(geometry), strict=True)
    parts = [constant_baseline(row, absent_value(value, own), own) for row, own in rows]
    explained = np.concatenate([part.reshape(1, -1) for part in parts], axis=1)
    return np.concatenate([explained, x[:, explained.shape[1] :]], axis=1)
