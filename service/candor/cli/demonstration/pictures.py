"""The part of the demo with photographs: ask, write PNG files, say what came out."""

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
from candor.client import Client, Explanation, RankedClass
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
    shown = []
    for photograph in PHOTOGRAPHS:
        told = _ask(client, folder, photograph, labels)
        _print(console, told)
        shown += [_write(folder, told, position) for position in range(len(told.targets))]
    return shown


@dataclass(frozen=True, slots=True)
class _Told:
    """What the service said of a photograph: each method asked twice, then all of them drawn.

    Targets are those of the photograph, else the top class, and beside it the right one where the
    model is wrong.
    """

    photograph: Photograph
    targets: tuple[str, ...]
    timed: tuple[Timed, ...]
    drawn: Explanation
    labels: Sequence[str]

    @property
    def top(self) -> tuple[RankedClass, ...]:
        return self.drawn.prediction.rows[0].top

    @property
    def verdict(self) -> str:
        return verdict_of(self.photograph, self.top, len(self.labels))


def _ask(client: Client, folder: Path, photograph: Photograph, labels: Sequence[str]) -> _Told:
    encoded = png(photograph.pixels())
    (folder / f"{photograph.name}.png").write_bytes(encoded)
    best = client.predict(_MODEL, images=[encoded]).rows[0].top[0].label
    targets = photograph.targets or tuple(dict.fromkeys((best, photograph.shows or best)))
    asking: Asking = {"images": [encoded], "targets": [list(targets)]}
    timed = tuple(ask_twice(client, _MODEL, method, **asking) for method in METHODS)
    asking["render"] = True
    drawn = client.explain(_MODEL, METHODS, **asking)
    return _Told(photograph, targets, timed, drawn, labels)


def _print(console: Console, told: _Told) -> None:
    print_row(console, told.drawn.prediction, told.photograph.title, 0)
    console.print(f"  {escape(told.verdict)}")
    console.print(_times(told))
    for warning in dict.fromkeys(w for answer in told.drawn.answers for w in warnings_of(answer)):
        console.print(f"  [yellow]warning:[/] {escape(warning)}")
    console.print()


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


def _times(told: _Told) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    for heading in ("method", "target", "first call", "cached", "model runs", "figure"):
        folds = heading in ("target", "figure")
        number = heading in ("first call", "cached", "model runs")
        table.add_column(heading, justify="right" if number else "left", no_wrap=not folds)
    for each in told.timed:
        runs = [answer.trust.get("n_evaluations") for answer in each.answers]
        table.add_row(
            each.method,
            escape(", ".join(target_name(a.target, told.labels) for a in each.answers)),
            f"{each.first_s * 1000:.1f} ms",
            f"{each.second_s * 1000:.1f} ms",
            str(sum(n for n in runs if isinstance(n, int))),
            ", ".join(filter(None, map(figure_of, each.answers))),
        )
    return table


def _write(folder: Path, told: _Told, position: int) -> Shown:
    name = told.photograph.name
    files, captions = [f"{name}.png"], ["as it was sent"]
    for each in told.timed:
        answer = told.drawn.of(each.method, position=position)
        target = target_name(answer.target, told.labels)
        middle = f".{target.replace(' ', '_')}" if len(told.targets) > 1 else ""
        file = f"{name}{middle}.{each.method}.png"
        (folder / file).write_bytes(answer.overlay_png)
        files.append(file)
        times = f"{each.first_s * 1000:.0f} ms, cached {each.second_s * 1000:.1f} ms"
        captions.append(", ".join(filter(None, (f"{each.method}: {times}", figure_of(answer)))))
    return Shown(
        title=told.photograph.title,
        target=target_name(told.drawn.of(METHODS[0], position=position).target, told.labels),
        verdict=told.verdict,
        top=told.top,
        files=tuple(files),
        captions=tuple(captions),
    )
