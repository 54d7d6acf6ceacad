"""The part of the demo with photographs: ask, write PNG files, say what came out."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.cli.demonstration.photographs import PHOTOGRAPHS, Photograph
from candor.cli.demonstration.timed import Timed, ask_twice
from candor.cli.outcome import figure_of, print_row, target_name, warnings_of
from candor.client import Client, RankedClass
from candor.client.asking import Asking
from candor.client.pictures import png
from candor.render.sheet import Strip

__all__ = ["METHODS", "Shown", "show_photographs"]

METHODS = ("grad_cam", "gradient", "lime")
_MODEL = "photos"


@dataclass(frozen=True, slots=True)
class Shown:
    """A photograph explained for one target, as the pages show it.

    Attributes:
        verdict: a sentence on whether the model is right.
        files: the original first, then one overlay a method; names within the folder.
        captions: one for each file.
    """

    title: str
    target: str
    verdict: str
    top: tuple[RankedClass, ...]
    files: tuple[str, ...]
    captions: tuple[str, ...]

    def strip(self, folder: Path) -> Strip:
        """The same as a row of a contact sheet."""
        best = ", ".join(f"{ranked.label} {ranked.probability:.2f}" for ranked in self.top[:3])
        pictures = [Image.open(folder / file).convert("RGB") for file in self.files]
        return Strip(f"{self.title}: why {self.target}?", best, pictures)


def show_photographs(client: Client, console: Console, folder: Path) -> list[Shown]:
    """Explain every photograph by every method, write the pictures, print predictions and times."""
    labels = client.model(_MODEL).labels
    return [
        shown
        for photograph in PHOTOGRAPHS
        for shown in _show(client, console, folder, photograph, labels)
    ]


def _show(
    client: Client, console: Console, folder: Path, photograph: Photograph, labels: Sequence[str]
) -> list[Shown]:
    encoded = png(photograph.pixels())
    (folder / f"{photograph.name}.png").write_bytes(encoded)
    asking: Asking = {"images": [encoded], "render": True}
    if photograph.targets:
        asking["targets"] = [list(photograph.targets)]
    timed = [ask_twice(client, _MODEL, method, **asking) for method in METHODS]
    prediction = timed[0].explanation.prediction
    verdict = verdict_of(photograph, prediction.rows[0].top, len(labels))
    print_row(console, prediction, photograph.title, 0)
    console.print(f"  {escape(verdict)}")
    console.print(_times(timed, labels))
    for warning in dict.fromkeys(w for each in timed for a in each.answers for w in warnings_of(a)):
        console.print(f"  [yellow]warning:[/] {escape(warning)}")
    console.print()
    return [
        _written(folder, photograph, timed, position, labels, verdict)
        for position in range(len(timed[0].answers))
    ]


def verdict_of(photograph: Photograph, top: Sequence[RankedClass], n_classes: int) -> str:
    """Whether the model is right, without politeness."""
    best = f"{top[0].label} at {top[0].probability:.2f}"
    if photograph.targets:
        found = [f"{t} {_place(t, top)}" for t in photograph.targets]
        return f"Of several things in one picture the model names one first: {'; '.join(found)}."
    if not photograph.shows:
        return (
            f"None of the {n_classes} classes is right, and the model has no way to say so: "
            f"its best guess, {best}, is wrong."
        )
    if photograph.shows == top[0].label:
        return f"Right: {best}."
    return f"Wrong: {best}; the picture shows {photograph.shows}, {_place(photograph.shows, top)}."


def _place(label: str, top: Sequence[RankedClass]) -> str:
    for place, ranked in enumerate(top, start=1):
        if ranked.label == label:
            return f"at place {place} with {ranked.probability:.2f}"
    return "not among the first five"


def _times(timed: Sequence[Timed], labels: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    for heading, justify in (
        ("method", "left"), ("target", "left"), ("first call", "right"),
        ("cached", "right"), ("model runs", "right"), ("figure", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for each in timed:
        table.add_row(
            each.method,
            escape(", ".join(target_name(answer.target, labels) for answer in each.answers)),
            f"{each.first_s * 1000:.1f} ms",
            f"{each.second_s * 1000:.1f} ms",
            str(sum(int(str(a.trust.get("n_evaluations", 0))) for a in each.answers)),
            ", ".join(filter(None, map(figure_of, each.answers))),
        )
    return table


def _written(
    folder: Path,
    photograph: Photograph,
    timed: Sequence[Timed],
    position: int,
    labels: Sequence[str],
    verdict: str,
) -> Shown:
    files, captions = [f"{photograph.name}.png"], ["as it was sent"]
    for each in timed:
        answer = each.answers[position]
        target = target_name(answer.target, labels)
        middle = f".{target.replace(' ', '_')}" if photograph.targets else ""
        file = f"{photograph.name}{middle}.{each.method}.png"
        Image.open(io.BytesIO(answer.overlay_png)).verify()
        (folder / file).write_bytes(answer.overlay_png)
        files.append(file)
        figure = figure_of(answer)
        times = f"{each.first_s * 1000:.0f} ms, cached {each.second_s * 1000:.1f} ms"
        captions.append(f"{each.method}: {times}" + (f", {figure}" if figure else ""))
    return Shown(
        title=photograph.title,
        target=target_name(timed[0].answers[position].target, labels),
        verdict=verdict,
        top=timed[0].explanation.prediction.rows[0].top,
        files=tuple(files),
        captions=tuple(captions),
    )
