"""The best network of a run so far, as it lies on the disk: weights, and what made them."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from zoo.learner import write_state
from zoo.machine import Machine


class CheckpointError(Exception):
    """A run cannot be taken up or published; the message says why, and what helps."""


class Choice(TypedDict):
    """What a run has chosen.

    `score` is that on held-out rows, `epoch` after which the network stood so, `recipe` its repr,
    `machines` all that the run has been on, this choice's and later ones.
    """

    weights: dict[str, Tensor]
    score: float
    epoch: int
    recipe: str
    machines: list[Machine]


def write_choice(choice: Choice, file: Path) -> None:
    """Write it so that no reader sees half of it."""
    write_state(choice, file)


def read_choice(file: Path, recipe: object) -> Choice:
    """Read what a run has chosen.

    Raises:
        CheckpointError: there is no such run, or it had another recipe than the one given.
    """
    if not file.exists():
        raise CheckpointError(f"{file} is missing: `zoo train` makes it")
    found: Choice = torch.load(file, weights_only=True)
    if found["recipe"] != repr(recipe):
        raise CheckpointError(
            f"{file} is of another recipe than the table's: delete it and the checkpoint beside "
            f"it to begin afresh\n{found['recipe']}\n{recipe!r}"
        )
    return found


def note_machine(choice: Choice, machine: Machine, file: Path) -> None:
    """Write down that the run goes on here, if it was elsewhere before."""
    if machine not in choice["machines"]:
        choice["machines"].append(machine)
        write_choice(choice, file)
