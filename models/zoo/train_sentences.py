"""The sentence recipe: soft five-grade targets, hard regularisation, a running average of weights.

The training split's five grades say how sure its sentiment is; they become soft targets of the
two-class network (very negative 0.02, negative 0.2, neutral 0.5, ...), which also brings in the
neutral sentences that the two-class files leave out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.learner import follow
from zoo.sentences import Cell, Dropout, SentenceNet

POSITIVE_SHARE = (0.02, 0.2, 0.5, 0.8, 0.98)
Ids = list[list[int]]


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
    ema: float = 0.995
    least_count: int = 2
    seed: int = 0


def padded(ids: Ids) -> Tensor:
    """Return int64 [n, t], padded with 0 to the longest sentence."""
    out = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.int64)
    for row, sentence in zip(out, ids, strict=True):
        row[: len(sentence)] = torch.tensor(sentence)
    return out


def shuffled(ids: Ids, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield the rows of each batch: sentences of about one length together, batches shuffled."""
    order = np.argsort([len(sentence) + rng.uniform(0, 6) for sentence in ids])
    batches = [order[i : i + size].tolist() for i in range(0, len(order), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]


@torch.no_grad()
def predict(net: SentenceNet, ids: Ids) -> Tensor:
    """Return logits [n, 2], in the order of the sentences."""
    net.eval()
    order = np.argsort([len(sentence) for sentence in ids], kind="stable")
    out = torch.zeros(len(ids), 2)
    for rows in np.array_split(order, max(1, len(ids) // 64)):
        out[torch.from_numpy(rows)] = net(padded([ids[i] for i in rows]))
    return out


def accuracy(logits: Tensor, classes: list[int]) -> float:
    """Return the share of rows whose highest logit is that of their class."""
    return float((logits.argmax(1) == torch.tensor(classes)).double().mean())


def train(
    ids: Ids, grades: list[int], n_tokens: int, recipe: Recipe
) -> Iterator[tuple[float, SentenceNet]]:
    """Train and yield, after each epoch, the mean loss and the averaged network."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    share = torch.tensor(POSITIVE_SHARE)[torch.tensor(grades)]
    targets = torch.stack([1 - share, share], 1)
    net = SentenceNet(n_tokens, recipe.width, recipe.hidden, recipe.dropout, recipe.cell)
    average = copy.deepcopy(net)
    adam = torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(ids) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, recipe.lr, steps, pct_start=0.15)
    for _ in range(recipe.epochs):
        net.train()
        losses = []
        for rows in shuffled(ids, recipe.batch, rng):
            loss = functional.cross_entropy(net(padded([ids[i] for i in rows])), targets[rows])
            adam.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
            schedule.step()
            follow(average, net, recipe.ema)
            losses.append(loss.item())
        yield float(np.mean(losses)), average
