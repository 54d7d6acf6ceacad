"""The sentence recipe: soft five-grade targets, hard regularisation, a running average of weights.

The training split's five grades say how sure its sentiment is; they become soft targets of the
two-class network (very negative 0.02, negative 0.2, neutral 0.5, ...), which also brings in the
neutral sentences that the two-class files leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zoo.learner import Learner, follow, write_state
from zoo.model import unpadded
from zoo.recipe import CLIP
from zoo.sentences import Cell, Dropout, SentenceNet
from zoo.sets.samples import Samples

POSITIVE_SHARE = (0.02, 0.2, 0.5, 0.8, 0.98)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does."""

    cell: Cell = "LSTM"
    width: int = 100
    hidden: int = 128
    dropout: Dropout = field(default_factory=Dropout)
    epochs: int = 12
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.01
    average: float = 0.995
    least_count: int = 2


def shuffled(lengths: list[int], size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield the rows of each batch: sentences of about one length together, batches shuffled."""
    order = np.argsort([length + rng.uniform(0, 6) for length in lengths])
    batches = [order[i : i + size].tolist() for i in range(0, len(order), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]


class Trainer:
    """The recipe under way.

    Args:
        rows: ids int64 [n, t], padded with 0, and grades 0 to 4.
        n_tokens: of the vocabulary.
        recipe: of the run.
        seed: its number.
    """

    precision = "float32"

    def __init__(self, rows: Samples, n_tokens: int, recipe: Recipe, seed: int) -> None:
        torch.manual_seed(seed)
        self.rows, self.recipe, self.seed = rows, recipe, seed
        share = torch.tensor(POSITIVE_SHARE)[torch.from_numpy(rows.classes)]
        self.targets = torch.stack([1 - share, share], 1)
        net = SentenceNet(n_tokens, recipe.width, recipe.hidden, recipe.dropout, recipe.cell)
        self.learner = Learner(net, [], recipe.weight_decay)
        self.steps = -(-len(rows) // recipe.batch)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.learner.adam, recipe.lr, recipe.epochs * self.steps, pct_start=0.15
        )

    def epoch(self) -> int:
        """Return how many passes are complete."""
        return self.learner.step // self.steps

    def train_epoch(self, pause: Callable[[], None]) -> float:
        """Train to the end of the present pass; return the mean loss (`Learner.run_pass`)."""
        batches = self._batches(self.epoch())
        return self.learner.run_pass(
            self.steps, lambda place: self._train_step(batches[place]), pause
        )

    def best(self) -> nn.Module:
        """Return the network that is scored and exported: the running average."""
        return self.learner.average

    def save(self, file: Path) -> None:
        """Write everything that a later process needs to go on."""
        more = {"schedule": self.schedule.state_dict(), "random": torch.get_rng_state()}
        write_state({**self.learner.state(), **more}, file)

    def load(self, file: Path) -> None:
        """Take up a run where `save` left it."""
        state = torch.load(file, weights_only=True)
        self.learner.restore(state)
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])

    def _batches(self, epoch: int) -> list[list[int]]:
        """The batches of a pass: one stream of random numbers, from the seed, has all passes."""
        rng = np.random.default_rng(self.seed)
        lengths = (self.rows.inputs != 0).sum(1).tolist()
        return [list(shuffled(lengths, self.recipe.batch, rng)) for _ in range(epoch + 1)][-1]

    def _train_step(self, index: list[int]) -> float:
        learner = self.learner
        learner.net.train()
        logits = learner.net(unpadded(self.rows.inputs[index]))
        loss = functional.cross_entropy(logits, self.targets[index])
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(learner.rest, CLIP)
        learner.adam.step()
        learner.net.zero_grad(set_to_none=True)
        self.schedule.step()
        follow(learner.average, learner.net, self.recipe.average)
        learner.step += 1
        return loss.item()
