"""Recurrent classifiers of series: vanilla RNN, LSTM, GRU; mean over time; one linear layer.

    layer       what                                            shape
    scale       (x - mean) / deviation of each channel          [n, t, f]
    cell        RNN (tanh), LSTM or GRU, forward                [n, t, hidden]
    mean        over the steps that are not padding             [n, hidden]
    head        linear                                          [n, k]

The scale is part of the network, so the input is as the sensors gave it, and padding by zero steps
after a series changes nothing. Sources: Elman 1990, Cognitive Science 14; Hochreiter & Schmidhuber
1997, Neural Computation 9; Cho et al. 2014, arXiv:1406.1078.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from zoo.networks.masks import mean_over_time, present

Cell: TypeAlias = type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]

DROPOUT = 0.3  # before the last layer
CHANNEL_DROPOUT = 0.1  # of whole channels


class SeriesNet(nn.Module):
    """Series [n, t, f], padded with zero steps, to logits [n, k].

    Args:
        cell: nn.RNN, nn.LSTM or nn.GRU.
        mean, std: of each channel in the training rows, [f].
        hidden: units of the cell.
        n_classes: k.
        noise: standard deviation of what is added to scaled inputs in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, cell: Cell, mean: Tensor, std: Tensor, hidden: int, n_classes: int, noise: float
    ) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.cell = cell(len(mean), hidden, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(hidden, n_classes)

    @override
    def forward(self, series: Tensor) -> Tensor:
        """Classify."""
        scaled = (series - self.mean) / self.std
        if self.training:
            scaled = scaled + self.noise * torch.randn_like(scaled)
            scaled = functional.dropout1d(scaled.transpose(1, 2), CHANNEL_DROPOUT).transpose(1, 2)
        states, *_ = self.cell(scaled)
        out: Tensor = self.head(self.dropout(mean_over_time(states, present(series))))
        return out
