"""`train photos`: fit, choose the checkpoint on held-out training pictures, export, describe."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from onnx import ModelProto
from torch import nn

from zoo.card import write_card
from zoo.checkpoint import Choice, note_machine, read_choice, write_choice
from zoo.compare import compare
from zoo.describe_photos import photo_card, write_photo_manifest
from zoo.export import IMAGE, LOGITS, save, to_onnx
from zoo.figures import Figures, Run, counted, figures_of, rows_of
from zoo.fit import Fitted
from zoo.fold import fold_norms
from zoo.learner import write_state
from zoo.machine import Machine, this_machine
from zoo.model import scaled
from zoo.networks.photos import PhotoNet
from zoo.progress import say
from zoo.recipe import CLASSIFY
from zoo.sets.photos64 import SIZE, load_train, load_validation, read_classes
from zoo.sets.samples import Samples, hold_out
from zoo.tidy import name_value, only
from zoo.train_photos import MEAN, STD, Recipe, Trainer, settle
from zoo.trainer import Work, predict, score

CHUNK = 40  # steps between checkpoints
LATE = 0.95
"""Share of the time after which weights are candidates: earlier ones have seen small pictures only,
and are poor at full size."""


def work_on(photos: Samples) -> Work:
    """Return what there is to do with pictures at full size."""
    return Work(CLASSIFY, photos, scaled(MEAN, STD))


def fit(root: Path, runs: Path, recipe: Recipe) -> Fitted:
    """Train to the end of the plan, going on from `runs/photos.pt` if there; return the best.

    The best checkpoint is that of the averaged weights with the highest accuracy at full size on
    pictures held out from the training split; the validation split is not read here.

    Raises:
        ValueError: a checkpoint there is of another recipe.
    """
    state, chosen = runs / "photos.pt", runs / "photos-best.pt"
    rest, held = hold_out(load_train(root), recipe.held_out, recipe.seed)
    trainer, kept = Trainer(recipe), work_on(held)
    learner, machine = trainer.learner, this_machine("float32")
    if state.exists():
        best = read_choice(chosen, recipe)
        learner.restore(torch.load(state, weights_only=True))
        note_machine(best, machine, chosen)
    else:
        best = _choice(learner.average, float("-inf"), 0.0, recipe, [machine])
        write_choice(best, chosen)
    while trainer.progress() < 1.0:
        phase = trainer.phase()
        loss = trainer.train_steps(rest, CHUNK)
        write_state(learner.state(), state)
        reached = 0.0
        if trainer.progress() > LATE:
            candidate = settle(learner.average, rest, recipe.seed)
            reached = score(predict(candidate, kept), kept)
            if reached > best["score"]:
                epoch = learner.step * recipe.batch / len(rest)
                best = _choice(candidate, reached, epoch, recipe, best["machines"])
                write_choice(best, chosen)
        say(
            f"step {learner.step:5} at {phase.side} px  loss {loss:.3f}  held out {reached:.2%}  "
            f"{learner.seconds:.0f} s, {trainer.progress():.0%}"
        )
    return chosen_so_far(runs, recipe)


def chosen_so_far(runs: Path, recipe: Recipe) -> Fitted:
    """Return what the run, finished or not, has chosen.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it had another recipe.
    """
    best = read_choice(runs / "photos-best.pt", recipe)
    trainer = Trainer(recipe)
    trainer.learner.restore(torch.load(runs / "photos.pt", weights_only=True))
    net = PhotoNet()
    net.load_state_dict(best["weights"])
    return Fitted(
        net.eval(),
        best["score"],
        best["epoch"],
        trainer.learner.seconds,
        trainer.progress() >= 1.0,
        best["machines"],
    )


def export_photos(net: nn.Module) -> ModelProto:
    """Return the ONNX model, batch norms folded; its last activation is named "features"."""
    model = to_onnx(fold_norms(net), torch.zeros(2, 3, SIZE, SIZE), IMAGE, LOGITS)
    name_value(model, only(model, "ReduceMean").input[0], "features")
    return model


def publish(root: Path, target: Path, fitted: Fitted, recipe: Recipe) -> None:
    """Write model, manifest and card under `target`, with the validation split's accuracy."""
    exported = export_photos(fitted.net)
    save(exported, target / "1" / "model.onnx")
    write_photo_manifest(target, [label for _, label in read_classes(root)])
    figures = measured(fitted, exported, load_validation(root), recipe)
    say(f"photos: {', '.join(f'{what} {value}' for what, value in rows_of(figures))}")
    write_card(target, photo_card(recipe), figures)


def measured(fitted: Fitted, exported: ModelProto, validation: Samples, recipe: Recipe) -> Figures:
    """Return what the exported model reaches on the validation split."""
    compared = compare(fitted.net, exported, work_on(validation))
    run = Run(recipe.seed, fitted, exported, compared)
    chosen_on = f"{recipe.held_out:,} held-out training pictures"
    figures = figures_of([run], "top-1", "validation", chosen_on, epochs=0)
    best = compared.outputs.topk(5, 1).indices == torch.from_numpy(validation.classes)[:, None]
    top5 = {"top-5, validation split": counted(float(best.any(1).double().mean()))}
    return replace(figures, others=top5, clock="wall time")


def _choice(
    net: nn.Module, reached: float, epoch: float, recipe: Recipe, machines: list[Machine]
) -> Choice:
    return {
        "weights": copy.deepcopy(net.state_dict()),
        "score": reached,
        "epoch": epoch,
        "recipe": repr(recipe),
        "machines": machines,
    }
