"""What was measured, as the tables and plots of docs/quality.md."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.plots import draw_curves, draw_localisation
from benchmarks.quality.rows import REPOSITORY
from candor.runtime.sanity import read_sanity
from candor.sanity import MethodSanity, Sanity

__all__ = ["write"]

PAGE = Path("docs/quality.md")
IMAGES = Path("docs/images")
_BLOCK = re.compile(r"(<!-- measured: ([a-z]+) -->\n).*?(<!-- end measured -->)", re.DOTALL)

WARNINGS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("constant", "every position has the same value", ()),
    ("empty", "every value is zero", ()),
    ("few samples", "LIME has fewer samples than segments", ("lime",)),
    ("flat", "no perturbation moved the target", ("lime",)),
    (
        "incomplete",
        "integrated gradients miss over 5 % of the change of the target",
        ("integrated_gradients",),
    ),
    ("no change", "baseline and input score the same", ("integrated_gradients",)),
    ("no statistics", "a record is explained without the training data's statistics", ("lime",)),
    ("noise", "most noisy copies of SmoothGrad have another top class", ("smooth_grad",)),
    ("not finite", "values of the map are no numbers", ()),
    ("poor fit", "LIME's linear model explains under half of what perturbations do", ("lime",)),
    ("saturated", "the probability that is explained is over 0.9999", ()),
    ("still", "the baseline equals the input", ("lime",)),
    ("straight-through", "gradients of a quantised model are estimates", ()),
    (
        "tolerance",
        "it was asked for and not reached",
        (
            "lime",
            "integrated_gradients",
        ),
    ),
    ("unseen", "a record holds what the training data had not", ("lime",)),
    ("unstable", "redrawn samples would change over 40 % of LIME's leading segments", ("lime",)),
)


def write(results: Path) -> None:
    """Write every block of the page from the results that are kept."""
    faithful = _read(results, "faithfulness")
    local = _read(results, "localisation")
    tables: dict[str, Callable[[], str]] = {
        "curves": lambda: _curves(faithful),
        "infidelity": lambda: _infidelity(faithful),
        "warnings": lambda: _warnings(faithful),
        "localisation": lambda: _localisation(local),
        "sanity": _sanity,
    }
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_BLOCK.sub(lambda m: m[1] + tables[m[2]]() + m[3], old), encoding="utf-8")
    draw_localisation(local, IMAGES / "quality-localisation.svg")
    draw_curves(faithful["photos"], IMAGES / "quality-curves.svg")


def _read(results: Path, what: str) -> dict[str, Any]:
    files = sorted(results.glob(f"{what}-*.json"))
    return {file.stem.partition("-")[2]: json.loads(file.read_text("utf-8")) for file in files}


def _curves(faithful: Mapping[str, Any]) -> str:
    return _by_model(faithful, ("deletion_auc", "insertion_auc"))


def _infidelity(faithful: Mapping[str, Any]) -> str:
    return _by_model(
        faithful, ("faithfulness_correlation", "relative_infidelity", "max_sensitivity")
    )


def _by_model(faithful: Mapping[str, Any], figures: tuple[str, ...]) -> str:
    models = list(faithful)
    methods = list(dict.fromkeys(m for each in faithful.values() for m in each["methods"]))
    methods.sort(key=lambda name: name.startswith("random"))
    rows = [
        [f"*{name}*" if name.startswith("random") else f"`{name}`"]
        + [_pair(faithful[model]["methods"].get(name), figures) for model in models]
        for name in methods
    ]
    counts = [f"{model} ({faithful[model]['rows']})" for model in models]
    return _table(["", *counts], rows)


def _pair(found: Mapping[str, Any] | None, figures: tuple[str, ...]) -> str:
    if found is None:
        return ""
    return " / ".join("-" if found[f] is None else f"{found[f]:.2f}" for f in figures)


def _warnings(faithful: Mapping[str, Any]) -> str:
    rows = []
    for word, meaning, methods in WARNINGS:
        fired: dict[tuple[str, str], int] = {}
        for model, found in faithful.items():
            for method, each in found["methods"].items():
                if each["warnings"].get(word):
                    fired[model, method] = each["warnings"][word]
        places = [
            f"`{method}` on {model} {times}/{faithful[model]['rows']}"
            for (model, method), times in sorted(fired.items(), key=lambda item: -item[1])
        ]
        more = f", and {len(places) - 4} more" if len(places) > 4 else ""
        total = sum(
            found["rows"]
            for found in faithful.values()
            for name in found["methods"]
            if name in methods or (not methods and not name.startswith("random"))
        )
        share = f"{sum(fired.values()) / total:.0%} of {', '.join(methods) or 'all'}"
        rows.append([f"`{word}`", meaning, share, ", ".join(places[:4]) + more])
    return _table(["warning", "fires where", "how often", "most often"], rows)


def _localisation(local: Mapping[str, Any]) -> str:
    sets = [name for name in ("mosaics", "photos64", "kangaroo") if name in local]
    methods = list(dict.fromkeys(m for name in sets for m in local[name]["methods"]))
    methods.sort(key=lambda name: name in ("centre", "even map"))
    rows = []
    for method in methods:
        shown = f"*{method}*" if method in ("centre", "even map") else f"`{method}`"
        scores = (local[name]["methods"][method] for name in sets)
        rows.append([shown, *(f"{each['pointing']:.2f} / {each['energy']:.2f}" for each in scores)])
    headings = [f"{name} ({local[name]['pictures']})" for name in sets]
    return _table(["pointing / energy", *headings], rows)


def _sanity() -> str:
    kept: dict[str, Sanity] = {}
    for folder in sorted(REPOSITORY.iterdir()):
        found = read_sanity(folder / "1")
        if found is not None:
            kept[folder.name] = found
    methods = list(dict.fromkeys(_called(m) for each in kept.values() for m in each.methods))
    rows = []
    for model, found in kept.items():
        of = {_called(each): each for each in found.methods}
        rows.append([model, *(_last(of.get(method)) for method in methods)])
    return _table(["", *(f"`{method}`" for method in methods)], rows)


def _called(found: MethodSanity) -> str:
    return f"{found.method} x input" if found.options.get("times_input") else found.method


def _last(found: MethodSanity | None) -> str:
    if found is None:
        return ""
    rho = found.rank_correlation[-1]
    text = "-" if rho is None else f"{rho:.2f}"
    return text if found.verdict == "passes" else f"**{text}**"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(headings)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
