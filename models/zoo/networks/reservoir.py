"""An echo-state network: a fixed random reservoir, and a linear readout in closed form.

    layer       what                                                        shape
    scale       (x - mean) / deviation of each channel                      [n, t, f]
    reservoir   h' = (1 - leak) h + leak tanh(W x + R h + b)                [n, t, hidden]
    mean        over the steps that are not padding                         [n, hidden]
    readout     linear, by ridge regression onto one-hot targets            [n, k]

A GRU whose reset gate is open (its bias is so high that the sigmoid is 1 in float32) and whose
update gate is a constant 1 - leak computes exactly this: z h + (1 - z) tanh(W x + R h + b). So the
graph holds a standard operator that runs fast and can be differentiated, in place of a loop.

Sources: Jaeger 2001, GMD report 148; leaky units: Jaeger et al. 2007, Neural Networks 20; practice:
Lukosevicius 2012, "A Practical Guide to Applying Echo State Networks".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from zoo.networks.masks import mean_over_time, present

OPEN = 40.0  # 1 / (1 + exp(-40)) is 1 in float32 and in float64 within 5e-18


@dataclass(frozen=True, slots=True)
class ReservoirSize:
    """How a reservoir is drawn.

    Attributes:
        hidden: units.
        radius: spectral radius of R, its largest absolute eigenvalue.
        leak: share of a unit's state that is new at each step.
        scale: standard deviation of W.
        bias: standard deviation of b.
        density: share of R that is not zero.
    """

    hidden: int = 300
    radius: float = 0.9
    leak: float = 0.3
    scale: float = 0.15
    bias: float = 0.2
    density: float = 0.05


class EchoStateNetwork(nn.Module):
    """Series [n, t, f], padded with zero steps, to logits [n, k]; random numbers from torch's seed.

    Args:
        mean, std: of each channel in the training rows, [f].
        n_classes: k.
        size: of the reservoir.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, n_classes: int, size: ReservoirSize) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.cell = nn.GRU(len(mean), size.hidden, batch_first=True)
        _draw(self.cell, size)
        self.head = nn.Linear(size.hidden, n_classes)
        for weight in self.parameters():
            weight.requires_grad_(False)  # noqa: FBT003 - torch's own signature

    def states(self, series: Tensor) -> Tensor:
        """Return the mean state of each series, [n, hidden]."""
        states, _ = self.cell((series - self.mean) / self.std)
        return mean_over_time(states, present(series))

    @override
    def forward(self, series: Tensor) -> Tensor:
        """Classify."""
        out: Tensor = self.head(self.states(series))
        return out


def _draw(cell: nn.GRU, size: ReservoirSize) -> None:
    """Fill the GRU's gates, in torch's order reset, update, new."""
    hidden, n = size.hidden, slice(2 * size.hidden, None)
    recurrent = torch.randn(hidden, hidden, dtype=torch.float64)
    recurrent *= torch.rand(hidden, hidden) < size.density
    recurrent *= size.radius / torch.linalg.eigvals(recurrent).abs().max()
    with torch.no_grad():
        weights = dict(cell.named_parameters())
        for weight in weights.values():
            weight.zero_()
        weights["bias_ih_l0"][:hidden] = OPEN
        weights["bias_ih_l0"][hidden : 2 * hidden] = math.log((1 - size.leak) / size.leak)
        weights["weight_ih_l0"][n] = size.scale * torch.randn(hidden, cell.input_size)
        weights["weight_hh_l0"][n] = recurrent.float()
        weights["bias_ih_l0"][n] = size.bias * torch.randn(hidden)


@torch.no_grad()
def read_out(net: EchoStateNetwork, series: Tensor, classes: Tensor) -> tuple[float, float]:
    """Fit the readout and return (penalty, sharpness), both chosen by leaving out each row in turn.

    The penalty of the ridge regression has the smallest squared error on rows left out; for such
    regressions that has a closed form, residual / (1 - leverage). The fit is then multiplied by the
    sharpness, with which softmax has the smallest cross-entropy on rows left out: its scores become
    logits, and no answer changes.
    """
    states = net.states(series).double()
    targets = functional.one_hot(classes).double()
    centre, offset = states.mean(0), targets.mean(0)
    left, values, right = torch.linalg.svd(states - centre, full_matrices=False)
    best, penalty, scores = math.inf, 0.0, targets
    for candidate in torch.logspace(-8, 2, 41, dtype=torch.float64) * values[0] ** 2:
        shrink = values**2 / (values**2 + candidate)
        fitted = left @ (shrink[:, None] * (left.T @ (targets - offset))) + offset
        leverage = (left**2 @ shrink + 1 / len(states)).clamp(max=1 - 1e-9)
        residual = (targets - fitted) / (1 - leverage)[:, None]
        error = float(residual.square().mean())
        if error < best:
            best, penalty, scores = error, float(candidate), targets - residual
    sharpness = min(
        torch.logspace(-1, 2, 61, dtype=torch.float64).tolist(),
        key=lambda scale: float(functional.cross_entropy(scale * scores, classes)),
    )
    inverse = (values / (values**2 + penalty))[:, None]
    weights = right.T @ (inverse * (left.T @ (targets - offset)))
    net.head.weight.copy_((sharpness * weights.T).float())
    net.head.bias.copy_((sharpness * (offset - centre @ weights)).float())
    return penalty, sharpness
