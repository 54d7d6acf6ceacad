"""The part of docs/models.md that speaks of the committed models, from the service and figures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from candor.client import Client, ModelInfo
from zoo.figures import headline, read_figures
from zoo.page.graph import REPOSITORY
from zoo.page.measure import Measured
from zoo.page.notes import notes_on
from zoo.page.record import ROOT, read_record
from zoo.study import study_table

PAGE = ROOT / "docs" / "models.md"
CARDS = ROOT / "models" / "zoo" / "cards"
_PART = re.compile(r"(<!-- zoo -->\n).*?(<!-- end zoo -->)", re.DOTALL)
_STUDY = re.compile(r"(<!-- study -->\n).*?(<!-- end study -->)", re.DOTALL)


def write_page(client: Client, measured: Mapping[str, Measured]) -> str:
    """Return docs/models.md with its parts on the committed models and on the study renewed."""
    old = PAGE.read_text(encoding="utf-8")
    old = _STUDY.sub(lambda match: match[1] + study_table(CARDS) + match[2], old)
    models = [client.model(summary.id.name) for summary in client.models()]
    return _PART.sub(lambda match: match[1] + committed(models, measured) + match[2], old)


def committed(models: Sequence[ModelInfo], measured: Mapping[str, Measured]) -> str:
    """Return the table, then a paragraph for each model.

    Raises:
        ValueError: a figure was measured of another file than is served.
    """
    columns = ("model", "row", "tested on", "accuracy", "card", "`Predict`, median", "methods")
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    parts = []
    for model in models:
        figures = measured.get(model.id.name, {})
        if figures and figures["digest"] != model.id.digest:
            raise ValueError(
                f"measured.json is of another file of '{model.id.name}' than is served: measure "
                "again (make model-docs)"
            )
        lines.append(_row(model, figures))
        parts.append(_paragraph(model, figures))
    return "\n".join(lines) + "\n\n" + "\n".join(parts)


def _row(model: ModelInfo, figures: Measured) -> str:
    name = model.id.name
    supported = [method for method, reason in model.methods.items() if reason is None]
    missing = [method for method, reason in model.methods.items() if reason is not None]
    methods = _listed(supported)
    if not missing:
        methods = "all"
    elif not supported:
        methods = "none"
    elif len(missing) < len(supported):
        methods = f"all but {_listed(missing)}"
    cells = [
        f"[`{name}`](../models/repository/{name}/CARD.md)",
        model.kind or "image",
        f"{figures['rows']:,}, {figures['origin']}" if figures else "",
        _score(model, figures),
        headline(read_figures(REPOSITORY / name)),
        f"{figures['predict_ms']:.1f} ms" if figures else "not measured",
        methods,
    ]
    return f"| {' | '.join(cells)} |"


def _score(model: ModelInfo, figures: Measured) -> str:
    if not figures:
        return "not measured"
    if model.labels:
        return f"{100 * figures['score']:.2f} %"
    return f"mean square error {figures['score']:.5f}"


def _paragraph(model: ModelInfo, figures: Measured) -> str:
    name = model.id.name
    lines = [f"### {name}", "", f"{model.title}.", ""]
    reasons: dict[str, list[str]] = defaultdict(list)
    for method, reason in model.methods.items():
        if reason is not None:
            reasons[reason].append(method)
    lines += [f"- Not {_listed(methods)}: {reason}." for reason, methods in reasons.items()]
    lines += [f"- {note}" for note in notes_on(model, figures)]
    if sheet := read_record().get(name):
        lines += [""] * bool(lines[-1]) + [f"![{name}, explained](images/models/{sheet['file']})"]
    return "\n".join([*lines, ""])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
