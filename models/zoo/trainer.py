"""One run of a recipe: its batches and its steps.

Order and augmentation follow from the seed and the step alone, so a run that was interrupted goes
on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.learner import Learner, write_state
from zoo.recipe import CLIP, Recipe, Task
from zoo.sets.samples import Array, Samples, lengths

Prepare = Callable[[Array], Tensor]
"""Stored rows -> what the network takes."""
MIXED = 6
"""Steps by which the lengths of the rows of a batch may differ for the sake of chance."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained or scored.

    Attributes:
        task: what is minimised and measured.
        rows: stored rows.
        prepare: how they become inputs.
        ragged: they are padded, and an exported model has to answer them unpadded, one by one.
    """

    task: Task
    rows: Samples
    prepare: Prepare
    ragged: bool = False


class Trainer:
    """A recipe under way: what learns, and in which pass it is."""

    def __init__(self, net: nn.Module, work: Work, recipe: Recipe, seed: int) -> None:
        self.work, self.recipe, self.seed = work, recipe, seed
        turned = _scale_free(net) if recipe.optimiser == "Muon" else []
        self.learner = Learner(net, turned, recipe.weight_decay)
        self.steps = max(1, len(work.rows) // recipe.batch)
        # Emulated, bfloat16 is slower than float32.
        self.coarse = recipe.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))

    @property
    def precision(self) -> str:
        """In which products are computed here."""
        return "products in bfloat16" if self.coarse else "float32"

    @property
    def done(self) -> float:
        """The share of the steps that have been taken."""
        return self.learner.step / (self.steps * self.recipe.epochs)

    def epoch(self) -> int:
        """Return how many passes are complete."""
        return self.learner.step // self.steps

    def train_epoch(self, pause: Callable[[], None]) -> float:
        """Train to the end of the present pass; return the mean loss (`Learner.run_pass`)."""
        return self.learner.run_pass(self.steps, self._train_step, pause)

    def best(self) -> nn.Module:
        """Return the network that is scored and exported: the running average, if there is one."""
        return self.learner.average if self.recipe.average else self.learner.net

    def save(self, file: Path) -> None:
        """Write everything that a later process needs to go on."""
        write_state(self.learner.state(), file)

    def load(self, file: Path) -> None:
        """Take up a run where `save` left it."""
        self.learner.restore(torch.load(file, weights_only=True))

    def _train_step(self, place: int) -> float:
        work, recipe, seed = self.work, self.recipe, self.seed
        rows = work.rows.take(self.order()[place * recipe.batch :][: recipe.batch])
        rng = torch.Generator().manual_seed(seed * 1_000_000 + self.learner.step)
        torch.manual_seed(seed * 1_000_000 + self.learner.step)  # for dropout
        self.learner.net.train()
        x = work.prepare(rows.inputs)
        seen = recipe.change.at(self.done).made(x, rng) if recipe.change else x
        with torch.autocast("cpu", torch.bfloat16, enabled=self.coarse):
            outputs = self.learner.net(seen).float()
        classes = torch.from_numpy(rows.classes)
        loss = work.task.loss(outputs, x, classes, recipe.smoothing)
        torch.autograd.backward(loss)
        self._update()
        return loss.item()

    def order(self) -> NDArray[np.int64]:
        """Return the rows of the present pass, batch after batch; what fills no batch is out."""
        rng = np.random.default_rng((self.seed, self.epoch()))
        order = rng.permutation(len(self.work.rows))[: self.steps * self.recipe.batch]
        if not self.recipe.by_length:
            return order
        about = lengths(self.work.rows.inputs)[order] + rng.uniform(0, MIXED, len(order))
        batches = np.split(order[np.argsort(about)], self.steps)
        return np.concatenate([batches[k] for k in rng.permutation(self.steps)])

    def _update(self) -> None:
        recipe = self.recipe
        done = self.done + 1 / (self.steps * recipe.epochs)
        scale = min(done / recipe.warm_up, (1 - done) / (1 - recipe.warm_up)) + 1e-3
        nn.utils.clip_grad_norm_(self.learner.rest, CLIP)
        self.learner.update(recipe.angle * scale, recipe.lr * scale, recipe.average)


@torch.no_grad()
def predict(net: nn.Module, work: Work, size: int = 200) -> Tensor:
    """Return the network's outputs for the rows, in their order."""
    net.eval()
    inputs = work.rows.inputs
    return torch.cat([net(work.prepare(inputs[i : i + size])) for i in range(0, len(inputs), size)])


def score(outputs: Tensor, work: Work) -> float:
    """Return the task's score of outputs for all rows."""
    return work.task.score(
        outputs, work.prepare(work.rows.inputs), torch.from_numpy(work.rows.classes)
    )


def others(outputs: Tensor, work: Work) -> dict[str, float]:
    """Return what else the task measures, likewise."""
    inputs, classes = work.prepare(work.rows.inputs), torch.from_numpy(work.rows.classes)
    return {what: found(outputs, inputs, classes) for what, found in work.task.others.items()}


def _scale_free(net: nn.Module) -> list[nn.Parameter]:
    """Return the weights of convolutions that a batch norm follows: their size means nothing."""
    pairs = [m for m in net.modules() if isinstance(getattr(m, "norm", None), nn.BatchNorm2d)]
    return [module.conv.weight for module in pairs]  # type: ignore[union-attr, misc]
