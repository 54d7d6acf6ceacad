"""Predictions and answers as lines for people and records for machines."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.client import Answer, Prediction
from candor.protocol.views import view_record
from candor.result import Target

__all__ = [
    "EXAMINED",
    "answer_name",
    "answer_record",
    "examined_of",
    "figure_of",
    "print_row",
    "row_record",
    "target_name",
    "warnings_of",
]

_BAR = 20


def answer_name(answer: Answer) -> str:
    """Which answer it is: its method, and its input where there are several."""
    return ".".join(filter(None, (answer.method, answer.input_name)))


def target_name(target: Target, labels: Sequence[str]) -> str:
    """The target in words: its label or number, or two of them."""
    plus = _class_name(target.plus, labels)
    return plus if target.minus is None else f"{plus} - {_class_name(target.minus, labels)}"


def _class_name(index: int | None, labels: Sequence[str]) -> str:
    if index is None:
        return "top class"
    return labels[index] if index < len(labels) else f"class {index}"


def print_row(console: Console, prediction: Prediction, name: str, row: int) -> None:
    """Print a row's most probable classes."""
    console.print(f"[bold]{escape(name)}[/]  ({escape(prediction.model.name)} "
                  f"version {prediction.model.version})")  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for ranked in prediction.rows[row].top:
        bar = "█" * round(ranked.probability * _BAR)
        label = ranked.label or f"class {ranked.index}"
        table.add_row("", escape(label), f"{ranked.probability:.3f}", f"[cyan]{bar}[/]")
    if prediction.rows[row].top:
        console.print(table)
    else:
        console.print("  not a classifier: ask for its outputs by --json")


def row_record(prediction: Prediction, name: str, row: int) -> dict[str, Any]:
    """A row of a prediction, for JSON."""
    return {
        "name": name,
        "model": {
            "name": prediction.model.name,
            "version": prediction.model.version,
            "digest": prediction.model.digest,
        },
        "top": [
            {"index": c.index, "label": c.label, "score": c.score, "probability": c.probability}
            for c in prediction.rows[row].top
        ],
        "view": view_record(prediction.rows[row].view),
    }


def answer_record(answer: Answer, labels: Sequence[str]) -> dict[str, Any]:
    """An answer with its values, for JSON."""
    return {
        "method": answer.method,
        "input": answer.input_name,
        "target": target_name(answer.target, labels),
        "cache": answer.cache,
        "complete": answer.complete,
        "trust": answer.trust,
        # JSON has no NaN.
        "values": None if answer.not_explained else answer.values.tolist(),
        "not_explained": answer.not_explained,
        "segments": None if answer.segments is None else answer.segments.tolist(),
    }


# The one figure of each method that says most about it, and what it is called in one word.
_FIGURES: Mapping[str, tuple[str, str]] = {
    "lime": ("r2", "R²"),
    "integrated_gradients": ("relative_completeness_gap", "gap"),
    "occlusion": ("covered", "covered"),
}


def figure_of(answer: Answer) -> str:
    """The figure of the trust record that says most; "" where the method has none."""
    key, word = _FIGURES.get(answer.method, ("", ""))
    figures = answer.trust.get("figures")
    value = figures.get(key) if isinstance(figures, Mapping) else None
    return f"{word} {value:.3g}" if isinstance(value, int | float) else ""


# The figures of full trust, in the order in which they are shown: heading, name.
EXAMINED = (
    ("deletion", "deletion_auc"),
    ("insertion", "insertion_auc"),
    ("correlation", "faithfulness_correlation"),
    ("infidelity", "relative_infidelity"),
    ("sensitivity", "max_sensitivity"),
    ("classes", "class_correlation"),
)


def examined_of(answer: Answer) -> list[str]:
    """The figures of full trust, "-" where one was not measured."""
    figures = answer.trust.get("figures")
    found = figures if isinstance(figures, Mapping) else {}
    values = [found.get(name) for _, name in EXAMINED]
    return [f"{value:.3f}" if isinstance(value, int | float) else "-" for value in values]


def warnings_of(answer: Answer) -> list[str]:
    """The warnings of the trust record."""
    warnings = answer.trust.get("warnings")
    return [str(line) for line in warnings] if isinstance(warnings, Sequence) else []
