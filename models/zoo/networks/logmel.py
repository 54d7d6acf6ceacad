"""Log-mel frames of a waveform as convolutions with fixed weights, so that they live in the graph.

    step        what                                                    shape
    frame       200 samples (25 ms) every 80 (10 ms), Hann window       -
    spectrum    convolutions with cosines, and sines, of 129 pitches    2 x [n, 129, frames]
    power       sum of both squares                                     [n, 129, frames]
    mel         triangles, 1x1 convolution                              [n, 40, frames]
    log         of (mel + 1e-6)                                         [n, 40, frames]

Frames begin at the samples -240, -160, ... and go on until they lie beyond the end, where the
recording counts as silent; a frame of nothing but zeros counts as padding. Source: Davis &
Mermelstein 1980, IEEE TASSP 28; mel scale as in O'Shaughnessy 1987.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

RATE, WINDOW, HOP, FFT = 8000, 200, 80, 256
BEYOND = 3 * HOP  # at least WINDOW, so that every sample lies in as many frames
N_MEL = 40
FLOOR = 1e-6


class LogMel(nn.Module):
    """Waveforms [n, t], samples -1..1, to (log-mel [n, 40, frames], mask [n, 1, frames])."""

    cosines: Tensor
    sines: Tensor
    triangles: Tensor

    def __init__(self) -> None:
        super().__init__()
        cosines, sines = _waves()
        self.register_buffer("cosines", cosines)
        self.register_buffer("sines", sines)
        self.register_buffer("triangles", _triangles())

    @override
    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames and which of them are there."""
        x = waveform.unsqueeze(1)
        cosine, sine = (
            functional.conv1d(x, waves, stride=HOP, padding=BEYOND)
            for waves in (self.cosines, self.sines)
        )
        power = cosine.square() + sine.square()
        there = (power.amax(1, keepdim=True) > 0).to(power.dtype)
        mask = there + (1 - there.amax(2, keepdim=True))
        return (functional.conv1d(power, self.triangles) + FLOOR).log(), mask


def _waves() -> tuple[Tensor, Tensor]:
    """Return windowed cosines and sines, [129, 1, 200] each."""
    time = torch.arange(WINDOW, dtype=torch.float64)
    angle = 2 * math.pi * torch.outer(torch.arange(FFT // 2 + 1).double(), time) / FFT
    window = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64)
    cosines, sines = ((wave * window).float() for wave in (angle.cos(), angle.sin()))
    return cosines.unsqueeze(1), sines.unsqueeze(1)


def _triangles() -> Tensor:
    """Return filters that overlap by half, equally wide on the mel scale: [40, 129, 1]."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, N_MEL + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.arange(FFT // 2 + 1).double() * RATE / FFT
    rise = (hertz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hertz) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0).float().unsqueeze(2)
