"""What was measured, as the tables and plots of docs/quality.md."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.localisation import GUESSES
from benchmarks.quality.plots import draw_curves, draw_localisation
from benchmarks.quality.rows import REPOSITORY
from benchmarks.quality.table import table
from benchmarks.quality.warned import warnings_table
from candor.runtime.sanity import read_sanity
from candor.sanity import MethodSanity, Sanity

__all__ = ["write"]

PAGE = Path("docs/quality.md")
IMAGES = Path("docs/images")
_BLOCK = re.compile(r"(<!-- measured: ([a-z]+) -->\n).*?(<!-- end measured -->)", re.DOTALL)


KINDS = {"image": "Images", "tokens": "Texts", "series": "Time series", "tabular": "Records"}


def write(results: Path) -> None:
    """Write every block of the page from the results that are kept."""
    faithful = _read(results, "faithfulness")
    local = _read(results, "localisation")
    tables: dict[str, Callable[[], str]] = {
        "curves": lambda: _by_kind(faithful, ("deletion_auc", "insertion_auc")),
        "infidelity": lambda: _by_kind(
            faithful, ("faithfulness_correlation", "relative_infidelity")
        ),
        "sensitivity": lambda: _by_kind(faithful, ("max_sensitivity",)),
        "classes": lambda: _by_kind(faithful, ("class_correlation",)),
        "warnings": lambda: warnings_table(faithful),
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


def _by_kind(faithful: Mapping[str, Any], figures: tuple[str, ...]) -> str:
    """A table for each kind of model: a column a model, in brackets how many rows it had."""
    parts = []
    for kind, heading in KINDS.items():
        models = {name: each for name, each in faithful.items() if each["kind"] == kind}
        methods = list(dict.fromkeys(m for each in models.values() for m in each["methods"]))
        methods.sort(key=lambda name: name.startswith("random"))
        rows = [
            [f"*{name}*" if name.startswith("random") else f"`{name}`"]
            + [
                _cell(each["methods"].get(name), figures, guess=name.startswith("random"))
                for each in models.values()
            ]
            for name in methods
        ]
        known = [row for row in rows if any(cell.strip("- /") for cell in row[1:])]
        counts = [f"{name} ({each['rows']})" for name, each in models.items()]
        if known:
            parts.append(table([heading, *counts], known))
    return "\n".join(parts)


def _cell(found: Mapping[str, Any] | None, figures: tuple[str, ...], *, guess: bool = False) -> str:
    """The figures of one method, bold where they are surely better than a guess's."""
    if found is None:
        return ""
    bold = () if guess else found["better"]
    return " / ".join(_spread(found[f], bold=f in bold) for f in figures)


def _spread(found: Mapping[str, float] | None, *, bold: bool = False) -> str:
    """A mean and half the width of its 95 % interval."""
    if found is None:
        return "-"
    mean = f"**{found['mean']:.2f}**" if bold else f"{found['mean']:.2f}"
    return f"{mean} ± {(found['high'] - found['low']) / 2:.2f}"


def _localisation(local: Mapping[str, Any]) -> str:
    sets = [name for name in ("mosaics", "photos64", "kangaroo") if name in local]
    methods = list(dict.fromkeys(m for name in sets for m in local[name]["methods"]))
    methods.sort(key=lambda name: name in GUESSES)
    rows = []
    for method in methods:
        shown = f"*{method}*" if method in GUESSES else f"`{method}`"
        found = (local[name]["methods"][method] for name in sets)
        rows.append([shown, *(_cell(each, ("pointing", "energy")) for each in found)])
    headings = [f"{name} ({local[name]['targets']})" for name in sets]
    return table(["pointing / energy", *headings], rows)


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
    return table(["", *(f"`{method}`" for method in methods)], rows)


def _called(found: MethodSanity) -> str:
    return f"{found.method} x input" if found.options.get("times_input") else found.method


def _last(found: MethodSanity | None) -> str:
    if found is None:
        return ""
    rho = found.rank_correlation[-1]
    text = "-" if rho is None else f"{rho:.2f}"
    return text if found.verdict == "passes" else f"**{text}**"
