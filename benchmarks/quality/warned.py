"""The warnings of trust records: where each fires, and how often it did."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.quality.table import table
from candor.explain.explainers import INTERACTIVE
from candor.explain.parse import method_name

__all__ = ["WARNINGS", "warnings_table"]

_FAST = {method_name(options()) for options in INTERACTIVE}
"""Methods that are asked for full trust; long ones are not explained again for it."""

_KINDS = {"image": "pictures", "series": "series", "tokens": "texts"}


class Warned(NamedTuple):
    """A row of the table of warnings.

    Attributes:
        word: that it begins with.
        meaning: where it fires.
        methods: that can have it, and were asked in a way that can find it; () for all.
        kinds: of models whose rows can; () for all.
        never: why none of these models' rows has it, where none has.
    """

    word: str
    meaning: str
    methods: tuple[str, ...] = ()
    never: str = ""
    kinds: tuple[str, ...] = ()


WARNINGS: tuple[Warned, ...] = (
    Warned(
        "centre",
        "over 7 x 7 cells, the map is a bump in the middle (correlation of 0.9 or more)",
        kinds=("image",),
    ),
    Warned(
        "constant",
        "every position has the same value",
        never="a window or a segment that is the whole row; defaults are smaller",
    ),
    Warned("empty", "every value is zero"),
    Warned(
        "fading",
        "gradients fall ten times and more from one end of a series or text to the other, evenly",
        ("gradient", "smooth_grad", "integrated_gradients"),
        kinds=("series", "tokens"),
    ),
    Warned(
        "few samples",
        "LIME has fewer samples than segments",
        ("lime",),
        "no row here is cut into so many",
    ),
    Warned(
        "flat",
        "no perturbation moved the target",
        ("lime",),
        "a model that ignores its input, or one that is sure beyond float32",
    ),
    Warned(
        "incomplete",
        "integrated gradients miss over 5 % of the change of the target",
        ("integrated_gradients",),
    ),
    Warned(
        "no change",
        "baseline and input score the same",
        ("integrated_gradients",),
        "a row that is its own baseline, as a black picture is",
    ),
    Warned(
        "no statistics",
        "a record is explained without the training data's statistics",
        ("lime",),
        "the manifest of `adult-mlp` has them",
    ),
    Warned("noise", "most noisy copies of SmoothGrad have another top class", ("smooth_grad",)),
    Warned(
        "not finite",
        "values of the map are no numbers",
        never="no division by zero, no root at zero in these networks",
    ),
    Warned(
        "poor fit", "LIME's linear model explains under half of what perturbations do", ("lime",)
    ),
    Warned(
        "same for another class",
        "under full trust, the map of another class ranks the positions alike (0.95 or more)",
        tuple(sorted(_FAST)),
    ),
    Warned("saturated", "the probability that is explained is over 0.9999", ("lime",)),
    Warned(
        "still",
        "the baseline equals the input",
        ("lime",),
        "a row of one colour or of zeros; the test splits have none",
    ),
    Warned(
        "straight-through",
        "gradients of a quantised model are estimates",
        never="no committed model is quantised",
    ),
    Warned(
        "tolerance",
        "it was asked for and not reached",
        ("lime", "integrated_gradients"),
        "no default asks for one",
    ),
    Warned(
        "unseen",
        "a record holds what the training data had not",
        ("lime",),
        "none of the test rows does",
    ),
    Warned(
        "unstable", "redrawn samples would change over 40 % of LIME's leading segments", ("lime",)
    ),
)


def warnings_table(faithful: Mapping[str, Any]) -> str:
    """How often each fired over all rows and methods.

    Raises:
        KeyError: one fired that has no row here.
    """
    fired: dict[str, dict[tuple[str, str], int]] = {each.word: {} for each in WARNINGS}
    for model, found in faithful.items():
        for method, each in found["methods"].items():
            for word, times in each["warnings"].items():
                fired[word][model, method] = times
    return table(
        ["warning", "fires where", "how often", "most often, or why never"],
        [
            [f"`{each.word}`", each.meaning, *_rates(each, fired[each.word], faithful)]
            for each in WARNINGS
        ],
    )


def _rates(
    of: Warned, fired: Mapping[tuple[str, str], int], faithful: Mapping[str, Any]
) -> tuple[str, str]:
    total = sum(
        found["rows"]
        for found in faithful.values()
        for name in found["methods"]
        if (not of.kinds or found["kind"] in of.kinds)
        and (name in of.methods or (not of.methods and not name.startswith("random")))
    )
    kinds = " and ".join(_KINDS[each] for each in of.kinds)
    among = f"{_methods(of)} on {kinds}" if kinds else _methods(of)
    if not fired:
        return f"never of {total:,} ({among})", of.never
    places = [
        f"`{method}` on {model} {times}/{faithful[model]['rows']}"
        for (model, method), times in sorted(fired.items(), key=lambda item: -item[1])
    ]
    more = f", and {len(places) - 4} more" if len(places) > 4 else ""
    return f"{sum(fired.values()) / total:.1%} of {among}", ", ".join(places[:4]) + more


def _methods(of: Warned) -> str:
    if set(of.methods) == _FAST:
        return "those of one run"
    return ", ".join(of.methods) or "all"
