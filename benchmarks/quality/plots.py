"""The plots of docs/quality.md, as small SVG files that come out the same each time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

__all__ = ["draw_curves", "draw_localisation"]

mpl.use("svg")
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "candor", "font.size": 9}
_GUESSES = ("centre", "even map")


def draw_localisation(local: Mapping[str, Any], file: Path) -> None:
    """Bars of pointing and energy for each set, with the guesses as lines."""
    sets = [name for name in ("mosaics", "photos64", "kangaroo") if name in local]
    figure, axes = plt.subplots(1, len(sets), figsize=(3.3 * len(sets), 3.2), sharey=True)
    for axis, name in zip(axes, sets, strict=True):
        found = local[name]["methods"]
        methods = [method for method in found if method not in _GUESSES][::-1]
        places = range(len(methods))
        for shift, score, colour in ((0.2, "pointing", "#3b528b"), (-0.2, "energy", "#5ec962")):
            axis.barh([at + shift for at in places], [found[m][score] for m in methods], 0.38,
                      color=colour, label=score)  # fmt: skip
            guess = max(found[method][score] for method in _GUESSES)
            axis.axvline(guess, color=colour, linestyle=":", linewidth=1.2)
        axis.set_yticks(places, methods)
        axis.set_xlim(0, 1)
        axis.set_title(f"{name}, {local[name]['pictures']} targets")
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, loc="upper left", ncols=1)
    _save(figure, file)


def draw_curves(faithful: Mapping[str, Any], file: Path) -> None:
    """Each method at its mean deletion and insertion: the better, the further up and left."""
    figure, axis = plt.subplots(figsize=(5.2, 3.6))
    named: dict[tuple[float, float], list[str]] = {}
    for method, found in faithful["methods"].items():
        x, y = found["deletion_auc"], found["insertion_auc"]
        guess = method.startswith("random")
        axis.plot(x, y, "x" if guess else "o", color="#888888" if guess else "#3b528b")
        near = next((at for at in named if abs(at[0] - x) + abs(at[1] - y) < 0.02), (x, y))
        named.setdefault(near, []).append(method)
    for place, methods in named.items():
        beside = f" and {len(methods) - 1} beside it" if len(methods) > 1 else ""
        text = f"{methods[0]}{beside}"
        axis.annotate(text, place, (5, -3), textcoords="offset points", fontsize=7)
    axis.margins(x=0.2)
    axis.set_xlabel("area under deletion (less is better)")
    axis.set_ylabel("area under insertion (more is better)")
    axis.set_title(f"photos, {faithful['rows']} validation pictures")
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
