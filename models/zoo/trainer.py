"""One run of a recipe: its batches and its steps.

Order and augmentation follow from the seed and the step alone, so a run that was interrupted goes
on as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zoo.learner import Learner
from zoo.recipe import Recipe, Task
from zoo.sets.samples import Array, Samples

Prepare = Callable[[Array], Tensor]
"""Stored rows -> what the network takes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained: the task, its rows, and how stored rows become inputs."""

    task: Task
    rows: Samples
    prepare: Prepare


class Trainer:
    """A recipe under way: what learns, and in which pass it is."""

    def __init__(self, net: nn.Module, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        turned = _scale_free(net) if recipe.optimiser == "Muon" else []
        self.learner = Learner(net, turned, recipe.weight_decay)

    def epoch(self, n_rows: int) -> int:
        """Return how many passes are complete."""
        return self.learner.step // self._steps(n_rows)

    def train_epoch(self, work: Work, pause: Callable[[], None]) -> float:
        """Train to the end of the present pass; return the mean loss.

        Args:
            work: what to train on.
            pause: called after each step, a chance to save.
        """
        losses, end = [], (self.epoch(len(work.rows)) + 1) * self._steps(len(work.rows))
        while self.learner.step < end:
            began = time.process_time()
            losses.append(self._train_step(work))
            self.learner.seconds += time.process_time() - began
            pause()
        return float(np.mean(losses))

    def best(self) -> nn.Module:
        """Return the network that is scored and exported: the running average, if there is one."""
        return self.learner.average if self.recipe.average else self.learner.net

    def _steps(self, n_rows: int) -> int:
        return max(1, n_rows // self.recipe.batch)

    def _train_step(self, work: Work) -> float:
        epoch, place = divmod(self.learner.step, self._steps(len(work.rows)))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(work.rows))
        rows = work.rows.take(order[place * self.recipe.batch :][: self.recipe.batch])
        rng = torch.Generator().manual_seed(self.seed * 1_000_000 + self.learner.step)
        torch.manual_seed(self.seed * 1_000_000 + self.learner.step)  # for dropout
        self.learner.net.train()
        x = work.prepare(rows.inputs)
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16(self.recipe)):
            outputs = self.learner.net(self.recipe.change(x, rng)).float()
        classes = torch.from_numpy(rows.classes)
        loss = work.task.loss(outputs, x, classes, self.recipe.smoothing)
        torch.autograd.backward(loss)
        self._update(self._steps(len(work.rows)) * self.recipe.epochs)
        return loss.item()

    def _update(self, n_steps: int) -> None:
        done, recipe = (self.learner.step + 1) / n_steps, self.recipe
        scale = min(done / recipe.warm_up, (1 - done) / (1 - recipe.warm_up)) + 1e-3
        nn.utils.clip_grad_norm_(self.learner.rest, 1.0)
        self.learner.update(recipe.angle * scale, recipe.lr * scale, recipe.average)


def in_bfloat16(recipe: Recipe) -> bool:
    """Return whether products are in bfloat16 here: emulated, it is slower than float32."""
    return recipe.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))


@torch.no_grad()
def predict(net: nn.Module, inputs: Array, prepare: Prepare, size: int = 200) -> Tensor:
    """Return the network's outputs for stored rows, in their order."""
    net.eval()
    return torch.cat([net(prepare(inputs[i : i + size])) for i in range(0, len(inputs), size)])


def _scale_free(net: nn.Module) -> list[nn.Parameter]:
    """Return the weights of convolutions that a batch norm follows: their size means nothing."""
    pairs = [m for m in net.modules() if isinstance(getattr(m, "norm", None), nn.BatchNorm2d)]
    return [module.conv.weight for module in pairs]  # type: ignore[union-attr, misc]
