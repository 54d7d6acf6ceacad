"""What learns: a network, the running average of its weights, two optimisers, and a checkpoint."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.muon import Muon


class Learner:
    """A network under training, with the steps and the CPU seconds that it has had.

    Args:
        net: the network.
        turned: its weights that Muon turns; AdamW moves all others.
        weight_decay: AdamW's.
    """

    def __init__(self, net: nn.Module, turned: Sequence[nn.Parameter], weight_decay: float) -> None:
        self.net = channels_last(net)
        self.average = copy.deepcopy(net).eval()
        known = {id(weight) for weight in turned}
        self.rest = [weight for weight in net.parameters() if id(weight) not in known]
        self.muon = Muon(turned)
        self.adam = torch.optim.AdamW(self.rest, weight_decay=weight_decay)
        self.step, self.seconds = 0, 0.0

    def update(self, angle: float, lr: float, decay: float) -> None:
        """Take the step that the gradients ask for, and forget them.

        Args:
            angle: by which Muon turns its weights, radians.
            lr: AdamW's learning rate.
            decay: of the running average, at most; 0: none is kept.
        """
        self.step += 1
        self.muon.step(angle)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        self.net.zero_grad(set_to_none=True)
        if decay:
            follow(self.average, self.net, min(decay, (1 + self.step) / (20 + self.step)))

    def run_pass(
        self, n_steps: int, take: Callable[[int], float], pause: Callable[[], None]
    ) -> float:
        """Go to the end of the present pass; return the mean loss of the steps.

        Args:
            n_steps: of a whole pass.
            take: takes the step at this place of the pass and returns its loss.
            pause: called after each step but the last, a chance to save. A complete pass is saved
                when it has been scored.
        """
        losses, end = [], (self.step // n_steps + 1) * n_steps
        while self.step < end:
            began = time.process_time()
            losses.append(take(self.step % n_steps))
            self.seconds += time.process_time() - began
            if self.step < end:
                pause()
        return sum(losses) / len(losses)

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to go on."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "muon": self.muon.buffers,
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a run where `state` was."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        for buffer, saved in zip(self.muon.buffers, state["muon"], strict=True):
            buffer.copy_(saved)
        self.step, self.seconds = state["step"], state["seconds"]


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


def channels_last(net: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out as the CPU kernels like them best."""
    for weight in net.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return net
