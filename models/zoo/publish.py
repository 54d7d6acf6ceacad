"""Export what a run chose, measure it, and write model, manifest and card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto
from torch import nn

from zoo.card import Card, write_card
from zoo.compare import compare, run
from zoo.export import example_like, save, to_onnx
from zoo.figures import Figures, Run, counted, figures_of, rows_of
from zoo.fit import Fitted
from zoo.fold import fold_norms
from zoo.manifest import Table, write_manifest
from zoo.model import Model
from zoo.progress import say
from zoo.recipe import CLIP, RECONSTRUCT, Change
from zoo.sets.samples import Samples
from zoo.tidy import name_value
from zoo.trainer import others, score


def export(model: Model, net: nn.Module) -> ModelProto:
    """Return the ONNX model: batch norms folded, the values to explain named."""
    example = example_like(model.example, model.source.dtype)
    exported = to_onnx(fold_norms(net), example, model.source, model.result)
    for name, find in model.names.items():
        name_value(exported, find(exported), name)
    return exported


def export_seed(
    model: Model, fitted: Fitted, seed: int, test: Samples, trained: Samples | None = None
) -> Run:
    """Export a seed's network and compare it with torch on the split that is measured.

    Args:
        model: of the table.
        fitted: what the seed's run has chosen.
        seed: its number.
        test: the rows of that split.
        trained: rows that it was trained on, to be scored too.
    """
    exported = export(model, fitted.net)
    work = model.work(test)
    compared = compare(fitted.net, exported, work)
    found = Run(seed, fitted, exported, compared, others=others(compared.outputs, work))
    if trained is None:
        return found
    seen = model.work(trained)
    return replace(found, trained=score(run(exported, seen), seen), n_trained=len(trained))


def publish(name: str, model: Model, runs: Sequence[Run], root: Path, target: Path) -> None:
    """Write the first seed's model under `target`, and what all of them reached.

    Of a model that is not served, the card and its figures alone: `target` is then its folder among
    the cards. Which seed is served is not a choice: it is the first, whatever the others reach.
    """
    if model.served:
        save(runs[0].exported, target / "1" / "model.onnx")
        _write_manifest(model, root, target)
        for file, text in model.files(root).items():
            (target / file).write_text(text, encoding="utf-8")
    split, epochs = model.data.measured, model.recipe.epochs
    figures = figures_of(runs, model.task.measure, split, _chosen_on(model), epochs)
    others = {f"{what}, {split} split": found for what, found in runs[0].others.items()}
    counts = {what: counted(found) for what, found in {**others, **model.baselines(root)}.items()}
    write(name, model, replace(figures, others=counts), target)


def write(name: str, model: Model, figures: Figures, target: Path) -> None:
    """Write a model's card from its row of the table and its figures."""
    write_card(target, _card(name, model), figures)
    say(f"{name}: {', '.join(f'{what} {value}' for what, value in rows_of(figures))}")


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


def _card(name: str, model: Model) -> Card:
    return Card(
        title=model.title,
        purpose=model.purpose,
        data=[*model.data.facts, model.data.citation],
        licence=f"{model.data.licence}. The weights are offered on the same terms. The data is not "
        "in this repository.",
        recipe=[*model.sources, *_steps(model), _chosen(model)],
        limits=model.limits,
        command=f"make models MODEL={name}",
    )


def _chosen_on(model: Model) -> str:
    if model.data.develop:
        return "development split"
    kept = model.recipe.held_out
    return f"{kept:,} held-out training rows" if kept else ""


def _chosen(model: Model) -> str:
    after = f"the {model.data.measured} split was read once, after."
    if model.data.develop:
        return f"The epoch was chosen on the development split; {after}"
    if model.recipe.held_out:
        held = f"{model.recipe.held_out:,} rows held out of the training split"
        return f"The epoch was chosen on {held}; {after}"
    taken = "trained on and the last epoch is taken" if model.recipe.epochs else "fitted at once"
    return f"All training rows were {taken}: the {model.data.measured} split has chosen nothing."


def _steps(model: Model) -> list[str]:
    recipe = model.recipe
    if not recipe.epochs:
        return []
    muon = f"Muon on the convolutions ({recipe.angle:g} rad a step), "
    rest = f"AdamW {recipe.lr:g}, weight decay {recipe.weight_decay:g}, gradient norm at most "
    extras = [f"label smoothing {recipe.smoothing:g}"] if recipe.smoothing else []
    extras += [f"running average of the weights {recipe.average:g}"] if recipe.average else []
    return [
        f"{recipe.epochs} epochs, batch {recipe.batch}, "
        f"{muon if recipe.optimiser == 'Muon' else ''}{rest}{CLIP:g}; rates rise over the first "
        f"{recipe.warm_up:.0%} of the steps and fall linearly to zero.",
        *([", ".join(extras).capitalize() + "."] if extras else []),
        *_changes(recipe.change),
    ]


def _changes(change: Change | None) -> list[str]:
    if change is None:
        return []
    lines = [f"While training: {change.words}."]
    while change.then:
        lines.append(
            f"In the last {1 - change.until:.0%} of the steps instead: {change.then.words}."
        )
        change = change.then
    return lines
