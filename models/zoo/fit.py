"""Train one seed of a model to its end, going on where an interrupted run stopped."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from zoo.checkpoint import Choice, note_machine, read_choice, write_choice
from zoo.machine import Machine, this_machine
from zoo.model import Model
from zoo.progress import say
from zoo.recipe import Recipe
from zoo.sets.samples import Samples, hold_out
from zoo.trainer import Trainer, Work, predict, score

SAVE_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is told.

    Attributes:
        name: of the model.
        seed: its number.
        recipe: of the run.
        held: what the epoch is chosen on; None: the last is taken.
    """

    name: str
    seed: int
    recipe: Recipe
    held: Work | None

    def files(self, runs: Path) -> tuple[Path, Path]:
        """Return where the run's state and its choice lie."""
        return runs / f"{self.name}-{self.seed}.pt", runs / f"{self.name}-{self.seed}-chosen.pt"


@dataclass(frozen=True, slots=True)
class Fitted:
    """The network that a run chose.

    Attributes:
        net: in evaluation mode.
        score: on the held-out rows; nan where none were held out.
        epoch: after which it stood so.
        seconds: of the run so far.
        finished: whether the recipe came to its end.
        machines: all that the run has been on.
    """

    net: nn.Module
    score: float
    epoch: int
    seconds: float
    finished: bool
    machines: list[Machine]


def fit(
    name: str, model: Model, train: Samples, runs: Path, seed: int, develop: Samples | None = None
) -> Fitted:
    """Train one seed of a model of the table to its end.

    It is saved after each epoch and once a minute. Of the epochs, the best on the rows `develop` is
    kept, or on held-out training rows; where none are held out, the last.

    Args:
        name: of the model.
        model: its row.
        train: the training split.
        runs: where the checkpoints lie.
        seed: the run's number.
        develop: the development split; None: the source has none.

    Raises:
        CheckpointError: there is one of another recipe.
    """
    began = time.process_time()
    trainer, plan = _begin(name, model, train, seed, develop)
    # A reservoir is fitted as it is built.
    trainer.learner.seconds = time.process_time() - began
    file, chosen = plan.files(runs)
    best = _taken_up(trainer, plan, runs)
    saved = time.monotonic()

    def pause() -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_EVERY_S:
            trainer.save(file)
            saved = time.monotonic()

    while trainer.epoch() < plan.recipe.epochs:
        loss = trainer.train_epoch(pause)
        held_out = _held_out(trainer.best(), plan.held)
        # Where nothing is held out this is nan, which is below nothing: the last epoch is taken.
        if not held_out < best["score"]:
            best = _choice(trainer, plan, held_out, best["machines"])
            write_choice(best, chosen)
        trainer.save(file)
        spent = f"{trainer.learner.seconds:.0f} s"
        reached = f"loss {loss:.4f} held out {held_out:.4f}"
        say(f"{name} {seed}: epoch {trainer.epoch()} {reached} {spent}")
    return _fitted(trainer, plan, best)


def fitted_so_far(
    name: str, model: Model, train: Samples, runs: Path, seed: int, develop: Samples | None = None
) -> Fitted:
    """Return what a run, finished or not, has chosen; the arguments are those of `fit`.

    Raises:
        CheckpointError: there is no such run, or it had another recipe.
    """
    trainer, plan = _begin(name, model, train, seed, develop)
    file, chosen = plan.files(runs)
    best = read_choice(chosen, plan.recipe)
    trainer.load(file)
    return _fitted(trainer, plan, best)


def _begin(
    name: str, model: Model, train: Samples, seed: int, develop: Samples | None
) -> tuple[Trainer, Plan]:
    rest, held = hold_out(train, model.recipe.held_out, seed)
    held = held if develop is None else develop
    torch.manual_seed(seed)
    trainer = Trainer(model.network(rest), model.work(rest), model.recipe, seed)
    return trainer, Plan(name, seed, model.recipe, model.work(held) if len(held) else None)


def _taken_up(trainer: Trainer, plan: Plan, runs: Path) -> Choice:
    """Bring the trainer to where the run stands, and return what it has chosen so far."""
    file, chosen = plan.files(runs)
    machine = this_machine(trainer.precision)
    if not file.exists():
        best = _choice(trainer, plan, float("-inf"), [machine])
        write_choice(best, chosen)
        trainer.save(file)
        return best
    best = read_choice(chosen, plan.recipe)
    trainer.load(file)
    if trainer.epoch() < plan.recipe.epochs:
        note_machine(best, machine, chosen)
    return best


def _held_out(net: nn.Module, held: Work | None) -> float:
    return score(predict(net, held), held) if held else float("nan")


def _choice(trainer: Trainer, plan: Plan, held_out: float, machines: list[Machine]) -> Choice:
    return {
        "weights": copy.deepcopy(trainer.best().state_dict()),
        "score": held_out,
        "epoch": trainer.epoch(),
        "recipe": repr(plan.recipe),
        "machines": machines,
    }


def _fitted(trainer: Trainer, plan: Plan, best: Choice) -> Fitted:
    net = trainer.best()
    net.load_state_dict(best["weights"])
    finished, seconds = trainer.epoch() >= plan.recipe.epochs, trainer.learner.seconds
    return Fitted(net.eval(), best["score"], best["epoch"], seconds, finished, best["machines"])
