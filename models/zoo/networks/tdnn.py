"""A time-delay neural network on the waveform: log-mel frames, convolutions over time, mean.

    layer       what                                            shape
    logmel      fixed (zoo/networks/logmel.py)                  [n, 40, frames]
    scale       (x - mean) / deviation of each band             [n, 40, frames]
    delay1      64, width 5                                     [n, 64, frames]
    delay2      64, width 3, every second frame (dilation 2)    [n, 64, frames]
    delay3      64, width 3, dilation 3                         [n, 64, frames]
    mean        over the frames that are not padding            [n, 64]
    head        linear, k

Batch norm and ReLU after each delay layer; frames that are padding are zero before each layer, as
beyond the end of a recording, so padding changes nothing. Source: Waibel, Hanazawa, Hinton,
Shikano, Lang 1989, IEEE TASSP 37; dilations: Peddinti, Povey, Khudanpur 2015, Interspeech.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from zoo.networks.logmel import N_MEL, LogMel

LAYERS = ((5, 1), (3, 2), (3, 3))  # width, dilation
DROPOUT = 0.3  # before the last layer
BAND_DROPOUT = 0.1  # of whole bands


def _delay(n_in: int, n_out: int, width: int, dilation: int) -> nn.Sequential:
    padding = dilation * (width - 1) // 2
    conv = nn.Conv1d(n_in, n_out, width, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm1d(n_out), relu=nn.ReLU()))


class TimeDelayNet(nn.Module):
    """Waveforms [n, t], samples -1..1 at 8 kHz, padded with zeros, to logits [n, k].

    Args:
        waveforms: training rows [n, t], which the scales of the bands are measured on.
        n_classes: k.
        width: channels of each delay layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, waveforms: Tensor, n_classes: int, width: int = 64) -> None:
        super().__init__()
        self.logmel = LogMel()
        mean, std = self._scales(waveforms)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        sizes = [N_MEL, *(width for _ in LAYERS)]
        self.delays = nn.ModuleList(
            _delay(n_in, width, *layer) for n_in, layer in zip(sizes, LAYERS, strict=False)
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(width, n_classes)

    @override
    def forward(self, waveform: Tensor) -> Tensor:
        """Classify."""
        frames, mask = self.logmel(waveform)
        x = (frames - self.mean) / self.std
        if self.training:
            x = functional.dropout1d(x, BAND_DROPOUT)
        for delay in self.delays:
            x = delay(x * mask)
        pooled = (x * mask).sum(2) / mask.sum(2)
        out: Tensor = self.head(self.dropout(pooled))
        return out

    @torch.no_grad()
    def _scales(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self.logmel(rows) for rows in torch.split(waveforms, 100)]
        frames = torch.cat([x.transpose(1, 2)[mask[:, 0] > 0] for x, mask in parts])
        return frames.mean(0).unsqueeze(1), frames.std(0).unsqueeze(1)
