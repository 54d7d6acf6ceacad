"""Train one seed of a model to its end, going on where an interrupted run stopped."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from zoo.learner import write_state
from zoo.model import Model
from zoo.progress import say
from zoo.sets.samples import Samples, hold_out
from zoo.trainer import Trainer, Work, predict

SAVE_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Fitted:
    """The network that a run chose.

    Attributes:
        net: in evaluation mode.
        score: on the held-out rows; nan where none were held out.
        epoch: after which it stood so.
        seconds: CPU time of the run so far.
        finished: whether the recipe came to its end.
    """

    net: nn.Module
    score: float
    epoch: int
    seconds: float
    finished: bool


class Choice(TypedDict):
    """The best weights of a run so far, as they lie on the disk."""

    weights: dict[str, Tensor]
    score: float
    epoch: int
    recipe: str


def fit(name: str, model: Model, train: Samples, runs: Path, seed: int) -> Fitted:
    """Train one seed; the checkpoints lie in `runs`.

    Of the epochs, the best on held-out training rows is kept; where none are held out, the last.

    Raises:
        ValueError: a checkpoint there is of another recipe.
    """
    rest, held = hold_out(train, model.recipe.held_out, seed)
    torch.manual_seed(seed)
    began = time.process_time()
    trainer = Trainer(model.network(rest), model.recipe, seed)
    trainer.learner.seconds = time.process_time() - began
    file, chosen = runs / f"{name}-{seed}.pt", runs / f"{name}-{seed}-chosen.pt"
    if file.exists():
        _check_recipe(chosen, model)
        trainer.learner.load(file)
    best = _read(chosen) if chosen.exists() else _record(trainer, model, float("-inf"), 0)
    saved = time.monotonic()

    def pause() -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_EVERY_S:
            trainer.learner.save(file)
            saved = time.monotonic()

    if not chosen.exists():
        write_state(best, chosen)
        trainer.learner.save(file)
    while (epoch := trainer.epoch(len(rest))) < model.recipe.epochs:
        loss = trainer.train_epoch(Work(model.task, rest, model.prepare), pause)
        score = _score(trainer.best(), model, held)
        if score >= best["score"] or not len(held):
            best = _record(trainer, model, score, epoch + 1)
            write_state(best, chosen)
        trainer.learner.save(file)
        shown = f"held out {score:.4f}" if len(held) else ""
        spent = f"{trainer.learner.seconds:.0f} s"
        say(f"{name} {seed}: epoch {epoch + 1} loss {loss:.4f} {shown} {spent}")
    return _fitted(trainer, best, finished=True)


def fitted_so_far(name: str, model: Model, train: Samples, runs: Path, seed: int) -> Fitted:
    """Return what a run, finished or not, has chosen.

    Raises:
        FileNotFoundError: there is no such run.
    """
    rest, _ = hold_out(train, model.recipe.held_out, seed)
    torch.manual_seed(seed)
    trainer = Trainer(model.network(rest), model.recipe, seed)
    trainer.learner.load(runs / f"{name}-{seed}.pt")
    finished = trainer.epoch(len(rest)) >= model.recipe.epochs
    return _fitted(trainer, _read(runs / f"{name}-{seed}-chosen.pt"), finished=finished)


def _score(net: nn.Module, model: Model, held: Samples) -> float:
    if not len(held):
        return float("nan")
    outputs = predict(net, held.inputs, model.prepare)
    classes = torch.from_numpy(held.classes)
    return model.task.score(outputs, model.prepare(held.inputs), classes)


def _record(trainer: Trainer, model: Model, score: float, epoch: int) -> Choice:
    return {
        "weights": copy.deepcopy(trainer.best().state_dict()),
        "score": score,
        "epoch": epoch,
        "recipe": _written(model),
    }


def _read(file: Path) -> Choice:
    found: Choice = torch.load(file, weights_only=True)
    return found


def _written(model: Model) -> str:
    change = model.recipe.change
    return repr(model.recipe).replace(repr(change), getattr(change, "__name__", "change"))


def _check_recipe(chosen: Path, model: Model) -> None:
    if (written := _read(chosen)["recipe"]) != _written(model):
        raise ValueError(
            f"the run in {chosen.parent} has another recipe than the table: delete {chosen.name} "
            f"and the checkpoint beside it to begin afresh\n{written}\n{_written(model)}"
        )


def _fitted(trainer: Trainer, best: Choice, *, finished: bool) -> Fitted:
    net = trainer.best()
    net.load_state_dict(best["weights"])
    return Fitted(net.eval(), best["score"], best["epoch"], trainer.learner.seconds, finished)
