"""The plots of docs/quality.md, as small SVG files that come out the same each time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

__all__ = ["draw_curves", "draw_localisation"]

mpl.use("svg")
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "candor", "font.size": 9}
_GUESSES = ("centre", "even map")
_ERROR = {"elinewidth": 0.7, "ecolor": "#222222"}


def draw_localisation(local: Mapping[str, Any], file: Path) -> None:
    """Bars of pointing and energy for each set with 95 % intervals, and the guesses as lines."""
    sets = [name for name in ("mosaics", "photos64", "kangaroo") if name in local]
    figure, axes = plt.subplots(1, len(sets), figsize=(3.3 * len(sets), 3.2), sharey=True)
    for axis, name in zip(axes, sets, strict=True):
        found = local[name]["methods"]
        methods = [method for method in found if method not in _GUESSES][::-1]
        places = range(len(methods))
        for shift, score, colour in ((0.2, "pointing", "#3b528b"), (-0.2, "energy", "#5ec962")):
            spreads = [found[method][score] for method in methods]
            axis.barh([at + shift for at in places], [each["mean"] for each in spreads], 0.38,
                      color=colour, label=score,
                      xerr=_beyond(spreads), error_kw=_ERROR)  # fmt: skip
            guess = max(found[method][score]["mean"] for method in _GUESSES)
            axis.axvline(guess, color=colour, linestyle=":", linewidth=1.2)
        axis.set_yticks(places, methods)
        axis.set_xlim(0, 1)
        axis.set_title(f"{name}, {local[name]['targets']} targets")
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, loc="upper left", ncols=1)
    _save(figure, file)


def draw_curves(faithful: Mapping[str, Any], file: Path) -> None:
    """Each method at its mean areas, with 95 % intervals: up and left is better."""
    figure, axis = plt.subplots(figsize=(5.2, 3.6))
    named: dict[tuple[float, float], list[str]] = {}
    for method, found in faithful["methods"].items():
        across, up = found["deletion_auc"], found["insertion_auc"]
        x, y = across["mean"], up["mean"]
        guess = method.startswith("random")
        axis.errorbar(x, y, _beyond([up]), _beyond([across]), "x" if guess else "o",
                      color="#888888" if guess else "#3b528b", elinewidth=0.5)  # fmt: skip
        near = next((at for at in named if abs(at[0] - x) + abs(at[1] - y) < 0.02), (x, y))
        named.setdefault(near, []).append(method)
    for place, methods in named.items():
        beside = f" and {len(methods) - 1} beside it" if len(methods) > 1 else ""
        text = f"{methods[0]}{beside}"
        crowded = any(0 < x - place[0] < 0.06 and abs(y - place[1]) < 0.02 for x, y in named)
        axis.annotate(text, place, (-5, 4) if crowded else (5, 4), textcoords="offset points",
                      fontsize=7, ha="right" if crowded else "left")  # fmt: skip
    axis.margins(x=0.25)
    axis.set_xlabel("area under deletion (less is better)")
    axis.set_ylabel("area under insertion (more is better)")
    axis.set_title(f"photos, {faithful['rows']} validation pictures")
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, file)


def _beyond(spreads: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """How far 95 % intervals reach below and above their means."""
    return [
        [each["mean"] - each["low"] for each in spreads],
        [each["high"] - each["mean"] for each in spreads],
    ]


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
