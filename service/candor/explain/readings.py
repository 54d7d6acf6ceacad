"""What a map says a removal will cost: the numbers that infidelity compares with what it did cost.

Maps differ in what their values mean, and with it in what may be added up over removed positions:

  shares of the target   integrated gradients, `gradient` signed and times the input: their sum over
                         what is removed is the loss that they tell. LIME: a segment's coefficient,
                         of which each of its positions gets an equal part.
  slopes                 signed gradients: the derivative times the change of the input.
  weights                everything else (class activation maps, magnitudes of gradients,
                         occlusion, LIME on records drawn from the training data): more or less, in
                         no unit; only the relative figure is theirs.
"""

from dataclasses import dataclass

import numpy as np

from candor.explain.fidelity import per_position
from candor.explain.options import Gradient, IntegratedGradients, Lime, Options, SmoothGrad
from candor.explain.subject import Geometry
from candor.result import Array, Attribution

__all__ = ["Reading", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What each position is told to cost.

    Attributes:
        cost: float64, position-shaped; None where the map tells nothing that can be added up.
        in_units: whether in units of the target.
        why: where there is no cost, or none in units, the reason.
    """

    cost: Array | None
    in_units: bool
    why: str = ""


def read(
    attribution: Attribution, options: Options, change: Array, shape: tuple[int, ...], of: Geometry
) -> Reading:
    """Read a map.

    Args:
        attribution: of a row.
        options: of its method.
        change: of the row's values where it is removed: the row less the baseline, row-shaped.
        shape: of a position.
        of: the row.
    """
    values = attribution.values
    match options:
        case Lime() if options.baseline != "training":
            return Reading(per_position(_parts(attribution), shape, of), in_units=True)
        case IntegratedGradients() | Gradient(reduction="signed", times_input=True):
            return Reading(per_position(values, shape, of), in_units=True)
        case Gradient(reduction="signed") | SmoothGrad(reduction="signed"):
            return _slopes(values, change, shape, of)
        case _:
            weights = per_position(values, shape, of)
            why = "the map's values are weights without a unit; relative_infidelity has none either"
            return Reading(weights, in_units=False, why=why)


def _parts(attribution: Attribution) -> Array:
    """Each position's equal part of its segment's coefficient."""
    segments = attribution.segments
    if segments is None:
        return attribution.values
    known = np.maximum(segments, 0)
    counts = np.bincount(known.ravel(), weights=(segments >= 0).ravel())
    return np.asarray(attribution.values / np.maximum(counts[known], 1.0))


def _slopes(values: Array, change: Array, shape: tuple[int, ...], of: Geometry) -> Reading:
    if of.kind == "tokens":
        why = (
            "the derivatives are to the embedding, and what is removed are tokens; use times_input"
        )
        return Reading(None, in_units=False, why=why)
    if values.shape != change.shape and values.size != change.size:
        why = "derivatives of several channels, once summed, are of no one's change; channels=keep"
        return Reading(None, in_units=False, why=f"{why} has the figure")
    cost = per_position(values.reshape(change.shape) * change, shape, of)
    return Reading(cost, in_units=True)
