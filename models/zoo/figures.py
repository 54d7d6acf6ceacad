"""What a run measured, for programs: `measured.json`, which lies beside each card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev

from onnx import ModelProto

from zoo.compare import Compared
from zoo.fit import Fitted
from zoo.machine import Machine, said

FILE = "measured.json"
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """One seed: what was fitted, its ONNX file, and what that answers.

    Attributes:
        compared: on the split that is measured.
        others: what else was measured there.
        trained: score on rows that it was trained on, as they are; None: not measured.
        n_trained: how many these are.
    """

    seed: int
    fitted: Fitted
    exported: ModelProto
    compared: Compared
    others: Mapping[str, float] = field(default_factory=dict)
    trained: float | None = None
    n_trained: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that a card tells in numbers.

    Attributes:
        measure: what a score is: a key of `MEASURES`.
        split: that the scores are of, "test" or "validation".
        rows: of that split.
        scores: by seed; the first is of the model that is served.
        ended: whether the first seed's run came to its end; the others' have.
        held_out: score of the first seed where its epoch was chosen; None: it was not.
        chosen_on: what that was.
        trained, n_trained: score on rows that it was trained on, and how many these were; None:
            not measured.
        others: what else was scored -> its score.
        difference: the largest between the outputs of ONNX and torch, first seed.
        parameters, bytes, opset: of the file.
        seconds: of the first seed's training.
        epoch, epochs: taken, and of how many; 0: there are none.
        machines: that the first seed was trained on.
    """

    measure: str
    split: str
    rows: int
    scores: Sequence[float]
    ended: bool = True
    held_out: float | None = None
    chosen_on: str = ""
    trained: float | None = None
    n_trained: int = 0
    others: Mapping[str, float] = field(default_factory=dict)
    difference: float
    parameters: int
    bytes: int
    opset: int
    seconds: float
    epoch: int
    epochs: int
    machines: Sequence[Machine]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _error(score: float) -> str:
    return f"{score:.5f}"


MEASURES: Mapping[str, Callable[[float], str]] = {
    "accuracy": _percent,
    "top-1": _percent,
    "mean square error a pixel": _error,
}


def counted(score: float) -> float:
    """Return a task's score as figures have it: a share, or an error that is not negative."""
    return round(abs(score), 6)


def headline(figures: Figures) -> str:
    """Return the score of what is served as the card writes it."""
    return MEASURES[figures.measure](figures.scores[0])


def rows_of(figures: Figures) -> list[Row]:
    """Return the table of a card."""
    what, written = figures.measure, MEASURES[figures.measure]
    split, scores = f"{figures.split} split", figures.scores
    rows = [(f"{what}, {split} ({figures.rows:,} rows)", headline(figures))]
    if len(scores) > 1:
        each = ", ".join(map(written, scores))
        spread = f"{written(mean(scores))}, {written(stdev(scores))}, {each}"
        rows.append((f"{len(scores)} seeds: mean, deviation, each", spread))
    if figures.trained is not None:
        seen = f"{what}, {figures.n_trained:,} training rows, not augmented"
        rows.append((seen, written(figures.trained)))
    if figures.held_out is not None:
        rows.append((f"{what}, {figures.chosen_on}, the epoch's choice", written(figures.held_out)))
    taken = f"{figures.epoch} of {figures.epochs}"
    unfinished = "" if figures.ended else ", of a run that has not come to its end"
    return [
        *rows,
        *((name, written(other)) for name, other in figures.others.items()),
        (f"largest difference ONNX to torch, {split}", f"{figures.difference:.1e}"),
        ("parameters", f"{figures.parameters:,}"),
        ("file", f"{figures.bytes:,} bytes, opset {figures.opset}"),
        ("training", f"{figures.seconds:.0f} s of CPU time, seed 0"),
        *([("epoch taken", f"{taken}{unfinished}")] if figures.epochs else []),
        ("hardware", "; then ".join(map(said, figures.machines))),
    ]


def write_figures(folder: Path, figures: Figures) -> None:
    """Write `measured.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(figures), indent=1, allow_nan=False)
    (folder / FILE).write_text(f"{text}\n", encoding="utf-8")


def read_figures(folder: Path) -> Figures:
    """Read `measured.json`.

    Raises:
        FileNotFoundError: the folder has none.
        TypeError: it lacks a figure, or has one that is not known.
    """
    return Figures(**json.loads((folder / FILE).read_text(encoding="utf-8")))


def figures_of(
    runs: Sequence[Run], measure: str, split: str, chosen_on: str, epochs: int
) -> Figures:
    """Return what the seeds reached, the first of which is served.

    A seed after it whose run has not come to its end is left out.

    Args:
        runs: the seeds 0, 1, ...
        measure: a key of `MEASURES`.
        split: that they were scored on.
        chosen_on: what the epoch was chosen on; "": it was not.
        epochs: of a run; 0: there are none.
    """
    first = runs[0]
    scores = [first, *(run for run in runs[1:] if run.fitted.finished and first.fitted.finished)]
    held_out = first.fitted.score
    return Figures(
        measure=measure,
        split=split,
        rows=len(first.compared.outputs),
        scores=[counted(run.compared.score) for run in scores],
        ended=first.fitted.finished,
        held_out=counted(held_out) if chosen_on and math.isfinite(held_out) else None,
        chosen_on=chosen_on,
        trained=None if first.trained is None else counted(first.trained),
        n_trained=first.n_trained,
        difference=first.compared.difference,
        parameters=sum(weight.numel() for weight in first.fitted.net.parameters()),
        bytes=first.exported.ByteSize(),
        opset=first.exported.opset_import[0].version,
        seconds=round(first.fitted.seconds, 1),
        epoch=first.fitted.epoch,
        epochs=epochs,
        machines=first.fitted.machines,
    )
