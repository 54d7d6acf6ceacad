"""The trust record: how an explanation was made and how far to believe it, as one JSON object.

{
  "method": "lime",
  "options": {...}            resolved: layer chosen, window and stride in numbers, the seed drawn;
                              given back as they stand they repeat the call word for word
  "trust": "basic" | "full"   full: with the figures and the part that `explain.examine` describes
  "target": {"plus": 3, "minus": null, "top": true}     class indices; top: the row's own top class
  "explained": "score" | "probability"                  the unit of the attribution
  "score": 7.1, "probability": 0.93      of the unperturbed target (a difference: plus less minus)
  "n_evaluations": 1000       rows that went through the model for this explanation
  "complete": true            false: a budget ended the work early, the figures are of what was done
  "figures": {...}            what the method affords, below
  "warnings": ["saturated: ...", ...]    each begins with a stable word, then a sentence
  "features": ["age", ...]    of records and series, where the manifest names the columns
}

Figures by method:
  the CAMs, gradient          none
  smooth_grad                 n_samples (done; the options have how many were asked for), same_top
                              (share of the noisy copies that keep the row's top class)
  integrated_gradients        n_steps (of the rule that the values come from, as many as were done;
                              the options have how many were asked for), completeness_gap (|sum of
                              attributions - change of the target from baseline to input|),
                              relative_completeness_gap (the same as a share of that change), change
  occlusion                   n_windows, n_unchanged (windows that hold the baseline already; not
                              run), n_seen (windows whose loss is known; the others of a part of
                              the work count as the nearest seen), covered (share of positions that
                              some window seen reached)
  lime                        n_samples (done, as above), n_segments, segmentation, r2 (weighted, as
                              lime's score), out_of_sample_r2 (leave-one-out), intercept,
                              local_prediction, coefficients [s], intervals [[low, high] * s]
                              (95 %), top_k, top_k_stability (0..1, mean overlap of the top k when
                              redrawn); of drawn records conditions [s], what each coefficient
                              stands for

Every number is finite or null, so the record is plain JSON.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from candor.explain.options import Options
from candor.explain.parse import method_name, to_json
from candor.explain.target import Outcome
from candor.result import Array, Json

__all__ = ["finite", "gradient_warnings", "map_warnings", "named", "numbers", "trust_record"]

SATURATED = 0.9999
"""A probability from which perturbations can hardly be told apart in float32."""

_UNMOVED = "nothing in the input moves the target"


def trust_record(
    options: Options,
    outcome: Outcome,
    *,
    n_evaluations: int,
    complete: bool = True,
    figures: Mapping[str, Json] | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Json]:
    """Assemble the record of one attribution; the shape is the module's docstring.

    Args:
        options: resolved.
        outcome: the target and what the model says of it.
        n_evaluations: rows run through the model.
        complete: False where the work was cut short.
        figures: the method's own, made finite with `finite` and `numbers`.
        warnings: the method's own; those that any method may need are added here.
    """
    target: dict[str, Json] = {
        "plus": outcome.aim.plus,
        "minus": outcome.aim.minus,
        "top": outcome.aim.top,
    }
    return {
        "method": method_name(options),
        "options": to_json(options),
        "trust": "basic",
        "target": target,
        "explained": outcome.explained,
        "score": finite(outcome.score),
        "probability": finite(outcome.probability),
        "n_evaluations": n_evaluations,
        "complete": complete,
        "figures": dict(figures or {}),
        "warnings": [*_saturation(outcome), *warnings],
    }


def named(features: Sequence[str]) -> dict[str, Json]:
    """What a record says of the row's columns, to be joined to it: nothing without names."""
    return {"features": list(features)} if features else {}


def map_warnings(values: Array, cure: str = "", *, empty: str = _UNMOVED) -> list[str]:
    """What any map may have to be warned of: no numbers, nothing in it, or the same everywhere.

    Args:
        values: of the map.
        cure: what to do about the same value everywhere, where the method knows it.
        empty: what it means that every value is zero.
    """
    # Either end is NaN where a value is.
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        n_wrong = values.size - int(np.count_nonzero(np.isfinite(values)))
        return [
            f"not finite: {n_wrong} of {values.size} values are NaN or infinite, where the "
            "model's arithmetic or its derivative has no number"
        ]
    if low == high == 0:
        return [f"empty: every value is zero, {empty}"]
    if values.size > 1 and high - low <= 1e-12 * max(-low, high):
        hint = f"; {cure}" if cure else ""
        return [f"constant: every position has the same value, the map shows no place{hint}"]
    return []


def gradient_warnings(*, straight_through: bool) -> list[str]:
    """What any gradient of this model has to be warned of."""
    if not straight_through:
        return []
    return [
        "straight-through: the model computes with quantised values, and rounding has no "
        "derivative; it is passed as if it were not there, so the gradient is an estimate"
    ]


def finite(value: float | None) -> float | None:
    """The number, or None where there is none or JSON has no word for it."""
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(values: Array) -> list[Json]:
    """A vector as JSON numbers, None where one is not finite."""
    return [finite(value) for value in values.tolist()]


def _saturation(outcome: Outcome) -> list[str]:
    # NaN is not saturated, but no comparison with it is true
    if outcome.explained == "score" or not abs(outcome.probability) > SATURATED:
        return []
    return [
        f"saturated: the probability is {outcome.probability:.6f}, so that its changes are tiny; "
        "the score tells more"
    ]
