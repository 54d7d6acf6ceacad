"""Train one seed of a model to its end, going on where an interrupted run stopped."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from zoo.checkpoint import Choice, note_machine, read_choice, write_choice
from zoo.learner import Learner
from zoo.machine import Machine, this_machine
from zoo.model import Model
from zoo.progress import say
from zoo.sets.samples import Samples, hold_out
from zoo.trainer import Trainer, Work, predict, score

SAVE_EVERY_S = 60


class Epochs(Protocol):
    """A recipe of epochs under way."""

    learner: Learner

    @property
    def precision(self) -> str:
        """In which products are computed here."""

    def epoch(self) -> int:
        """Return how many passes are complete."""

    def train_epoch(self, pause: Callable[[], None]) -> float:
        """Train to the end of the present pass; return the mean loss."""

    def best(self) -> nn.Module:
        """Return the network that is scored and exported."""

    def save(self, file: Path) -> None:
        """Write everything that a later process needs to go on."""

    def load(self, file: Path) -> None:
        """Take up a run where `save` left it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is told.

    Attributes:
        name: of the model.
        seed: its number.
        recipe: anything whose repr says all of it.
        epochs: until its end.
        held: what the epoch is chosen on; None: the last is taken.
    """

    name: str
    seed: int
    recipe: object
    epochs: int
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
    epoch: float
    seconds: float
    finished: bool
    machines: list[Machine]


def fit(name: str, model: Model, train: Samples, runs: Path, seed: int) -> Fitted:
    """Train one seed of a model of the table; the checkpoints lie in `runs`.

    Of the epochs, the best on held-out training rows is kept; where none are held out, the last.

    Raises:
        ValueError: a checkpoint there is of another recipe.
    """
    began = time.process_time()
    trainer, plan = _begin(name, model, train, seed)
    # A reservoir is fitted as it is built.
    trainer.learner.seconds = time.process_time() - began
    return run_to_end(trainer, plan, runs)


def fitted_so_far(name: str, model: Model, train: Samples, runs: Path, seed: int) -> Fitted:
    """Return what a run, finished or not, has chosen.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it had another recipe.
    """
    return reached(*_begin(name, model, train, seed), runs)


def run_to_end(trainer: Epochs, plan: Plan, runs: Path) -> Fitted:
    """Train to the end of the plan, saving after each epoch and once a minute.

    Raises:
        ValueError: a checkpoint in `runs` is of another recipe.
    """
    file, chosen = plan.files(runs)
    machine = this_machine(trainer.precision)
    if file.exists():
        best = read_choice(chosen, plan.recipe)
        trainer.load(file)
        if trainer.epoch() < plan.epochs:
            note_machine(best, machine, chosen)
    else:
        best = _choice(trainer, plan, float("-inf"), [machine])
        write_choice(best, chosen)
        trainer.save(file)
    saved = time.monotonic()

    def pause() -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_EVERY_S:
            trainer.save(file)
            saved = time.monotonic()

    while trainer.epoch() < plan.epochs:
        loss = trainer.train_epoch(pause)
        held_out = _held_out(trainer.best(), plan.held)
        # Where nothing is held out this is nan, which is below nothing: the last epoch is taken.
        if not held_out < best["score"]:
            best = _choice(trainer, plan, held_out, best["machines"])
            write_choice(best, chosen)
        trainer.save(file)
        spent = f"{trainer.learner.seconds:.0f} s"
        say(
            f"{plan.name} {plan.seed}: epoch {trainer.epoch()} loss {loss:.4f} "
            f"held out {held_out:.4f} {spent}"
        )
    return _fitted(trainer, plan, best)


def reached(trainer: Epochs, plan: Plan, runs: Path) -> Fitted:
    """Return what the run of a plan, finished or not, has chosen.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it had another recipe.
    """
    file, chosen = plan.files(runs)
    best = read_choice(chosen, plan.recipe)
    trainer.load(file)
    return _fitted(trainer, plan, best)


def _begin(name: str, model: Model, train: Samples, seed: int) -> tuple[Trainer, Plan]:
    recipe = model.recipe
    rest, held = hold_out(train, recipe.held_out, seed)
    torch.manual_seed(seed)
    trainer = Trainer(model.network(rest), model.work(rest), recipe, seed)
    kept = model.work(held) if len(held) else None
    return trainer, Plan(name, seed, recipe, recipe.epochs, kept)


def _held_out(net: nn.Module, held: Work | None) -> float:
    return score(predict(net, held), held) if held else float("nan")


def _choice(trainer: Epochs, plan: Plan, held_out: float, machines: list[Machine]) -> Choice:
    return {
        "weights": copy.deepcopy(trainer.best().state_dict()),
        "score": held_out,
        "epoch": trainer.epoch(),
        "recipe": repr(plan.recipe),
        "machines": machines,
    }


def _fitted(trainer: Epochs, plan: Plan, best: Choice) -> Fitted:
    net = trainer.best()
    net.load_state_dict(best["weights"])
    finished, seconds = trainer.epoch() >= plan.epochs, trainer.learner.seconds
    return Fitted(net.eval(), best["score"], best["epoch"], seconds, finished, best["machines"])
