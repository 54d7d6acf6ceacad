"""Export what a run chose, measure it, and write model, manifest and card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from onnx import ModelProto
from torch import nn

from zoo.card import HARDWARE, Card, percent, write_card
from zoo.compare import Measured, compare, run, score_of
from zoo.export import example_like, name_value, only, save, to_onnx
from zoo.fit import Fitted
from zoo.fold import fold_norms
from zoo.manifest import Table, write_manifest
from zoo.model import Model, Row
from zoo.progress import say
from zoo.recipe import CLASSIFY, RECONSTRUCT, Recipe, Task
from zoo.sets.samples import Samples
from zoo.trainer import in_bfloat16


@dataclass(frozen=True, slots=True)
class Run:
    """One seed: what was fitted, its ONNX file, and what that reaches.

    Attributes:
        measured: on the test split.
        trained: score on rows that it was trained on, as they are; None: not measured.
        n_trained: how many these are.
    """

    seed: int
    fitted: Fitted
    exported: ModelProto
    measured: Measured
    trained: float | None = None
    n_trained: int = 0


def export(model: Model, net: nn.Module) -> ModelProto:
    """Return the ONNX model: batch norms folded, the values to explain named."""
    exported = to_onnx(fold_norms(net), example_like(model.example), model.source, model.result)
    for name, op_type in model.names.items():
        name_value(exported, only(exported, op_type).input[0], name)
    return exported


def measure(
    model: Model, fitted: Fitted, seed: int, test: Samples, trained: Samples | None = None
) -> Run:
    """Export a seed's network and compare it with torch on the test split.

    Args:
        model: of the table.
        fitted: what the seed's run has chosen.
        seed: its number.
        test: the test split.
        trained: rows that it was trained on, to be scored too.
    """
    exported = export(model, fitted.net)
    measured = compare(model, fitted.net, exported, test)
    if trained is None:
        return Run(seed, fitted, exported, measured)
    score = score_of(model, run(exported, model, trained), trained)
    return Run(seed, fitted, exported, measured, score, len(trained))


def publish(name: str, model: Model, runs: Sequence[Run], root: Path, target: Path) -> None:
    """Write the first seed's model under `target`, and what all of them reached.

    Of a model that is not served, the card alone: `target` is then its folder among the cards.
    Which seed is served is not a choice: it is the first, whatever the others reach.
    """
    first = runs[0]
    if model.served:
        save(first.exported, target / "1" / "model.onnx")
        _write_manifest(model, root, target)
    rows = [*_scores(model, runs), *model.baselines(root), *_facts(first, model.recipe)]
    write_card(target / "CARD.md", _card(name, model, rows))
    say(f"{name}: {', '.join(f'{what} {value}' for what, value in rows)}")


def _error(score: float) -> str:
    return f"{abs(score):.5f}"


_WRITTEN: Mapping[Task, tuple[str, Callable[[float], str]]] = {
    CLASSIFY: ("accuracy", percent),
    RECONSTRUCT: ("mean square error a pixel", _error),
}


def _scores(model: Model, runs: Sequence[Run]) -> list[Row]:
    what, written = _WRITTEN[model.task]
    first, scores = runs[0], [one.measured.score for one in runs]
    rows = [(f"{what}, test split", written(first.measured.score))]
    if len(runs) > 1:
        each = ", ".join(map(written, scores))
        spread = written(stdev(scores)).lstrip("-")
        rows.append(
            (
                f"{len(runs)} seeds: mean, deviation, each",
                f"{written(mean(scores))}, {spread}, {each}",
            )
        )
    if first.trained is not None:
        seen = f"{what}, {first.n_trained:,} training rows, not augmented"
        rows.append((seen, written(first.trained)))
    if model.recipe.held_out:
        held = f"{what}, {model.recipe.held_out:,} held-out training rows, the epoch's choice"
        rows.append((held, written(first.fitted.score)))
    return rows


def _facts(run: Run, recipe: Recipe) -> list[Row]:
    unfinished = "" if run.fitted.finished else ", of a run that has not come to its end"
    taken = f"{run.fitted.epoch} of {recipe.epochs}"
    n_parameters = sum(p.numel() for p in run.fitted.net.parameters())
    opset = run.exported.opset_import[0].version
    precision = "products in bfloat16" if in_bfloat16(recipe) else "float32"
    return [
        ("largest difference ONNX to torch, test split", f"{run.measured.difference:.1e}"),
        ("parameters", f"{n_parameters:,}"),
        ("file", f"{run.exported.ByteSize():,} bytes, opset {opset}"),
        ("training", f"{run.fitted.seconds:.0f} s of CPU time, seed {run.seed}"),
        *([("epoch taken", f"{taken}{unfinished}")] if recipe.epochs else []),
        ("hardware", f"{HARDWARE}, {precision}"),
    ]


def _write_manifest(model: Model, root: Path, target: Path) -> None:
    top: Table = {
        "title": model.title,
        "licence": model.data.licence,
        "source": model.data.citation,
    }
    if model.task is not RECONSTRUCT:
        top = {**top, "labels": model.data.labels, "activation": "softmax"}
    statistics = model.statistics(model.data.load(root, "train")) if model.statistics else {}
    every = {"input": model.section, **statistics, "explain": model.explain}
    tables = {key: table for key, table in every.items() if table}
    write_manifest(target / "model.toml", top, tables)


def _card(name: str, model: Model, rows: list[Row]) -> Card:
    recipe = model.recipe
    chosen = (
        f"The epoch was chosen on {recipe.held_out:,} rows held out of the training split; the "
        "test split was read once, after."
        if recipe.held_out
        else "All training rows were trained on and the last epoch is taken: the test split has "
        "chosen nothing."
    )
    return Card(
        title=model.title,
        purpose=model.purpose,
        data=[*model.data.facts, model.data.citation],
        licence=f"{model.data.licence}. The weights are offered on the same terms. The data is not "
        "in this repository.",
        recipe=[*model.sources, *_steps(model), chosen],
        rows=rows,
        limits=model.limits,
        command=f"make models MODEL={name}",
    )


def _steps(model: Model) -> list[str]:
    recipe = model.recipe
    if not recipe.epochs:
        return []
    muon = f"Muon on the convolutions ({recipe.angle:g} rad a step), "
    rest = f"AdamW {recipe.lr:g}, weight decay {recipe.weight_decay:g}"
    extras = [f"label smoothing {recipe.smoothing:g}"] if recipe.smoothing else []
    extras += [f"running average of the weights {recipe.average:g}"] if recipe.average else []
    change = (recipe.change.__doc__ or "").splitlines()[0]
    return [
        f"{recipe.epochs} epochs, batch {recipe.batch}, "
        f"{muon if recipe.optimiser == 'Muon' else ''}{rest}; rates rise over the first "
        f"{recipe.warm_up:.0%} of the steps and fall linearly to zero.",
        *([", ".join(extras).capitalize() + "."] if extras else []),
        f"While training: {change[0].lower()}{change[1:]}",
    ]
