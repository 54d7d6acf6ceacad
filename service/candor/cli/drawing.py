"""An explained row in the terminal: its classes, its answers, and the words of a text."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.cli.outcome import (
    EXAMINED,
    answer_name,
    examined_of,
    figure_of,
    print_row,
    target_name,
    warnings_of,
)
from candor.client import Answer, Explanation
from candor.render.tokens import coloured_text, feature_table, token_table
from candor.result import TextView

__all__ = ["print_explained_row", "print_features", "print_tokens"]


def print_explained_row(
    console: Console,
    explanation: Explanation,
    row: int,
    labels: Sequence[str],
    *,
    name: str,
    text: str | None,
) -> None:
    """Print what the model says of a row, and how each method explains it."""
    print_row(console, explanation.prediction, name, row)
    answers = [answer for answer in explanation.answers if answer.row == row]
    if answers[0].not_explained:  # so are the others: it is rows that are passed over
        console.print(f"not explained: {escape(answers[0].not_explained)}\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("method", "target", "explains", "of", "figure", "model runs", "cache"):
        table.add_column(heading)
    for answer in answers:
        table.add_row(
            escape(answer_name(answer)) + ("" if answer.complete else " (cut short)"),
            escape(target_name(answer.target, labels)),
            _shown(answer, "explained"),
            _shown(answer, str(answer.trust.get("explained"))),
            figure_of(answer),
            _shown(answer, "n_evaluations"),
            answer.cache or "",
        )
    console.print(table)
    _print_examined(console, answers, labels)
    for warning in dict.fromkeys(line for answer in answers for line in warnings_of(answer)):
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    view = explanation.prediction.rows[row].view
    if text is not None and isinstance(view, TextView):
        print_tokens(console, text, view, answers, labels)
    console.print()


def print_tokens(
    console: Console, text: str, view: TextView, answers: Sequence[Answer], labels: Sequence[str]
) -> None:
    """Print the text in the colours of each method, then every token with bars; by target."""
    for position in sorted({answer.position for answer in answers}):
        of_target = [
            answer for answer in answers if answer.position == position and answer.values.ndim == 1
        ]
        if not of_target:
            continue
        console.print(f"\nfor [bold]{escape(target_name(of_target[0].target, labels))}[/]")
        for answer in of_target:
            console.print(coloured_text(text, view, answer.method, answer.values))
        values = {answer.method: answer.values for answer in of_target}
        console.print(token_table(view.tokens, view.known, values))


def print_features(
    console: Console, explanation: Explanation, row: int, labels: Sequence[str]
) -> None:
    """Print the features of a record with bars, those that matter most first; by target."""
    answers = [a for a in explanation.answers if a.row == row and not a.not_explained]
    for position in sorted({answer.position for answer in answers}):
        of_target = [answer for answer in answers if answer.position == position]
        console.print(f"for [bold]{escape(target_name(of_target[0].target, labels))}[/]")
        values = {answer.method: answer.values for answer in of_target}
        console.print(feature_table(_feature_names(of_target), values))
        console.print()


def _feature_names(answers: Sequence[Answer]) -> list[str]:
    """What lime says of the record's features, else their names, else their numbers."""
    for answer in answers:
        match answer.trust.get("figures"):
            case {"conditions": list(conditions)}:
                return [str(condition) for condition in conditions]
    match answers[0].trust.get("features"):
        case list(names):
            return [str(name) for name in names]
        case _:
            return [f"feature {at}" for at in range(len(answers[0].values))]


def _print_examined(console: Console, answers: Sequence[Answer], labels: Sequence[str]) -> None:
    examined = [answer for answer in answers if answer.trust.get("trust") == "full"]
    if not examined:
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("method", "target"):
        table.add_column(heading, overflow="fold")
    for heading, _ in EXAMINED:  # a narrow terminal folds names, and cuts no heading
        table.add_column(heading, min_width=len(heading))
    for answer in examined:
        target = escape(target_name(answer.target, labels))
        table.add_row(answer.method, target, *examined_of(answer))
    console.print()
    console.print(table)


def _shown(answer: Answer, key: str) -> str:
    value = answer.trust.get(key)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
