"""How a network is trained: the numbers of a run, and what a run tries to get right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

CLIP = 1.0
"""The norm that the gradients of AdamW's weights have at most."""


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """An augmentation; checkpoints know it by the names of its functions.

    Attributes:
        made: (a batch, random numbers) -> the batch as the network sees it in training.
        words: what it does, as a card says it.
        until: share of a run's steps after which `then` takes its place.
        then: None: nothing does.
    """

    made: Callable[[Tensor, torch.Generator], Tensor]
    words: str
    until: float = 1.0
    then: Change | None = None

    @override
    def __repr__(self) -> str:
        name = self.made.__name__
        return f"{name} until {self.until:g}, then {self.then}" if self.then else name

    def at(self, done: float) -> Change:
        """Return what is made of a batch when this share of the steps is done."""
        return self.then.at(done) if self.then and done >= self.until else self


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run.

    Attributes:
        epochs: passes over the training rows.
        batch: rows a step.
        optimiser: AdamW; or Muon for convolutions before a batch norm, AdamW for the rest.
        lr: AdamW's highest learning rate.
        angle: Muon's highest step, radians.
        weight_decay: AdamW's.
        warm_up: share of the steps until the rates are highest; they fall linearly to zero then.
        smoothing: of the labels.
        average: decay of the running average of the weights that is scored and exported; 0: none.
        held_out: training rows kept aside to choose the epoch; 0: all are trained on, and the last
            epoch is taken.
        change: augmentation of a batch; None: there is none.
        by_length: whether rows of about one length are in a batch, so that little of it is padding.
        bfloat16: whether to train with products in bfloat16 where the CPU has matrix units for it;
            weights, their updates and what is exported stay float32.
    """

    epochs: int
    batch: int = 128
    optimiser: Literal["AdamW", "Muon"] = "AdamW"
    lr: float = 2e-3
    angle: float = 0.04
    weight_decay: float = 0.01
    warm_up: float = 0.1
    smoothing: float = 0.0
    average: float = 0.0
    held_out: int = 0
    change: Change | None = None
    by_length: bool = False
    bfloat16: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is for.

    Attributes:
        measure: what the score is called.
        loss: (outputs, what the network saw before augmentation, classes, label smoothing).
        score: (outputs, inputs, classes) -> higher is better; for classifiers the accuracy.
        others: what else is measured, likewise.
    """

    measure: str
    loss: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    score: Callable[[Tensor, Tensor, Tensor], float]
    others: Mapping[str, Callable[[Tensor, Tensor, Tensor], float]] = field(default_factory=dict)


def _class_loss(outputs: Tensor, _: Tensor, classes: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(outputs, classes, label_smoothing=smoothing)


def accuracy(outputs: Tensor, _: Tensor, classes: Tensor) -> float:
    """Return the share of rows whose highest output is their class."""
    return float((outputs.argmax(1) == classes).double().mean())


def _square_error(outputs: Tensor, inputs: Tensor, _: Tensor, __: float) -> Tensor:
    return functional.mse_loss(outputs, inputs)


def _closeness(outputs: Tensor, inputs: Tensor, _: Tensor) -> float:
    return -float((outputs - inputs).double().square().mean())


CLASSIFY = Task("accuracy", _class_loss, accuracy)
RECONSTRUCT = Task("mean square error a pixel", _square_error, _closeness)
