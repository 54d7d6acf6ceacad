"""The photograph recipe: progressive sizes, Muon, a weight average, resumable, ends on time.

Small pictures first and larger ones last spends a CPU's minutes where they teach most. A random
crop enlarges what it shows, so crops at 56 pixels have about the scale of whole pictures at 64
(Touvron et al. 2019, arXiv:1906.06423); full size has the last word.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo import augment
from zoo.learner import Learner
from zoo.model import normalised
from zoo.networks.photos import PhotoNet
from zoo.sets.samples import Samples

MEAN = (0.48, 0.45, 0.39)
STD = (0.27, 0.26, 0.28)
WARM_UP = 100  # steps
SETTLED = 4000
"""Training pictures on which batch norms are measured anew."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Up to `until` (share of the run's time): pictures of `side`, crops of at least `area`."""

    until: float
    side: int
    area: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does. Time is the budget: slow machines see fewer pictures but end as early."""

    minutes: float = 90.0
    phases: tuple[Phase, ...] = (
        Phase(0.50, 32, 0.5),
        Phase(0.68, 40, 0.5),
        Phase(0.78, 48, 0.5),
        Phase(0.90, 56, 0.5),
        Phase(1.00, 64, 0.6),
    )
    batch: int = 192
    angle: float = 0.04
    head_lr: float = 2e-3
    smoothing: float = 0.1
    average: float = 0.99
    held_out: int = 2000
    seed: int = 0


def prepare(pixels: Tensor, side: int, area: float, rng: torch.Generator) -> Tensor:
    """Turn uint8 pictures into an augmented, normalised training batch."""
    x = augment.crop_and_flip(pixels.float() / 255, side, area, rng)
    x = augment.soften(x, rng)
    return normalised(augment.jitter(x, 0.2, rng), MEAN, STD)


class Trainer:
    """The recipe under way: what learns, and how much of the time is used up."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        net = PhotoNet()
        self.learner = Learner(net, [p for p in net.parameters() if p.ndim == 4], 0.01)

    def progress(self) -> float:
        """Return the share of the time that is used up, at most 1."""
        return min(1.0, self.learner.seconds / (60 * self.recipe.minutes))

    def phase(self) -> Phase:
        """Return the present phase."""
        return next(p for p in self.recipe.phases if self.progress() <= p.until)

    def train_steps(self, photos: Samples, count: int) -> float:
        """Take `count` steps, or fewer if the time is up; return the mean loss."""
        losses = []
        for _ in range(count):
            began = time.monotonic()
            losses.append(self._step(photos))
            self.learner.seconds += time.monotonic() - began
            if self.progress() >= 1.0:
                break
        return float(np.mean(losses))

    def _step(self, photos: Samples) -> float:
        # Order and augmentation follow from seed and step alone, so a resumed run repeats neither.
        recipe, phase = self.recipe, self.phase()
        epoch, place = divmod(self.learner.step, len(photos) // recipe.batch)
        order = np.random.default_rng((recipe.seed, epoch)).permutation(len(photos))
        index = order[place * recipe.batch : (place + 1) * recipe.batch]
        rng = torch.Generator().manual_seed(recipe.seed * 1_000_000 + self.learner.step)
        self.learner.net.train()
        x = prepare(torch.from_numpy(photos.inputs[index]), phase.side, phase.area, rng)
        target = torch.from_numpy(photos.classes[index])
        logits = self.learner.net(x)
        loss = functional.cross_entropy(logits, target, label_smoothing=recipe.smoothing)
        torch.autograd.backward(loss)
        self._update()
        return loss.item()

    def _update(self) -> None:
        # A short warm-up, then linear to nearly zero at the end of the time.
        scale = min((self.learner.step + 1) / WARM_UP, 1.0) * (1 - self.progress()) + 1e-3
        recipe = self.recipe
        self.learner.update(recipe.angle * scale, recipe.head_lr * scale, recipe.average)


@torch.no_grad()
def settle(net: nn.Module, photos: Samples, seed: int, count: int = SETTLED) -> nn.Module:
    """Return a copy whose batch norms are measured anew on whole training pictures at full size.

    Half of them are softened, as photographs are that a server has shrunk.

    Maps of another size have other statistics, which cost a network trained on smaller crops some
    eight points here (Touvron et al. 2019, arXiv:1906.06423, section 3.2).
    """
    settled = copy.deepcopy(net).train()
    for module in settled.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
    chosen = np.random.default_rng(seed).permutation(len(photos))[:count]
    rng = torch.Generator().manual_seed(seed)
    for index in np.array_split(chosen, max(1, len(chosen) // 200)):
        x = augment.soften(torch.from_numpy(photos.inputs[index]).float() / 255, rng)
        settled(normalised(x, MEAN, STD))
    return settled.eval()
