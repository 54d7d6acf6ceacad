"""One run of a recipe: batches, steps, a running average, checkpoints to go on from.

Order and augmentation follow from the seed and the step alone, so a run that was interrupted goes
on as if it had not been.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zoo.muon import Muon
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
    """A run's state: network, running average, optimisers, steps and CPU time so far."""

    def __init__(self, net: nn.Module, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.net = channels_last(net)
        self.average = copy.deepcopy(net)
        turned = _scale_free(net) if recipe.optimiser == "Muon" else []
        known = {id(weight) for weight in turned}
        rest = [weight for weight in net.parameters() if id(weight) not in known]
        self.muon = Muon(turned)
        self.adam = torch.optim.AdamW(rest, recipe.lr, weight_decay=recipe.weight_decay)
        self.step, self.seconds = 0, 0.0

    def epoch(self, n_rows: int) -> int:
        """Return how many passes are complete."""
        return self.step // self._steps(n_rows)

    def train_epoch(self, work: Work, pause: Callable[[], None]) -> float:
        """Train to the end of the present pass; return the mean loss.

        Args:
            work: what to train on.
            pause: called after each step, a chance to save.
        """
        losses, end = [], (self.epoch(len(work.rows)) + 1) * self._steps(len(work.rows))
        while self.step < end:
            began = time.process_time()
            losses.append(self._train_step(work))
            self.seconds += time.process_time() - began
            pause()
        return float(np.mean(losses))

    def save(self, path: Path) -> None:
        """Write everything that a later process needs to go on, in one atomic step."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "muon": self.muon.buffers,
            "step": self.step,
            "seconds": self.seconds,
        }
        write_state(state, path)

    def load(self, path: Path) -> None:
        """Take up a run where `save` left it."""
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        for buffer, saved in zip(self.muon.buffers, state["muon"], strict=True):
            buffer.copy_(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def best(self) -> nn.Module:
        """Return the network that is scored and exported: the running average, if there is one."""
        return self.average if self.recipe.average else self.net

    def _steps(self, n_rows: int) -> int:
        return max(1, n_rows // self.recipe.batch)

    def _train_step(self, work: Work) -> float:
        epoch, place = divmod(self.step, self._steps(len(work.rows)))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(work.rows))
        rows = work.rows.take(order[place * self.recipe.batch :][: self.recipe.batch])
        rng = torch.Generator().manual_seed(self.seed * 1_000_000 + self.step)
        torch.manual_seed(self.seed * 1_000_000 + self.step)  # for dropout
        self.net.train()
        x = work.prepare(rows.inputs)
        outputs = self.net(self.recipe.change(x, rng))
        classes = torch.from_numpy(rows.classes)
        loss = work.task.loss(outputs, x, classes, self.recipe.smoothing)
        torch.autograd.backward(loss)
        self._update(self._steps(len(work.rows)) * self.recipe.epochs)
        return loss.item()

    def _update(self, n_steps: int) -> None:
        self.step += 1
        done, recipe = self.step / n_steps, self.recipe
        scale = min(done / recipe.warm_up, (1 - done) / (1 - recipe.warm_up)) + 1e-3
        nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step(recipe.angle * scale)
        for group in self.adam.param_groups:
            group["lr"] = recipe.lr * scale
        self.adam.step()
        self.net.zero_grad(set_to_none=True)
        if recipe.average:
            follow(self.average, self.net, min(recipe.average, (1 + self.step) / (20 + self.step)))


def write_state(state: object, path: Path) -> None:
    """Write a checkpoint so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the average, batch-norm statistics included, towards the network."""
    target = net.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(target[name], 1 - decay)


@torch.no_grad()
def predict(net: nn.Module, inputs: Array, prepare: Prepare, size: int = 200) -> Tensor:
    """Return the network's outputs for stored rows, in their order."""
    net.eval()
    return torch.cat([net(prepare(inputs[i : i + size])) for i in range(0, len(inputs), size)])


def channels_last(net: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out as the CPU kernels like them best."""
    for weight in net.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return net


def _scale_free(net: nn.Module) -> list[nn.Parameter]:
    """Return the weights of convolutions that a batch norm follows: their size means nothing."""
    pairs = [m for m in net.modules() if isinstance(getattr(m, "norm", None), nn.BatchNorm2d)]
    return [module.conv.weight for module in pairs]  # type: ignore[union-attr, misc]
