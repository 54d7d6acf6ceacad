"""The photograph classifier: a small residual network, global average pooling, one linear layer.

    layer   what                                                        map of a 64x64 picture
    stem    32 3x3 of stride 2, 64 3x3                                  32x32
    stage1  two blocks of 96; the first halves the map                  16x16
    stage2  two blocks of 192, likewise                                 8x8
    mean    over the positions
    head    linear, k

A block is two 3x3 convolutions beside a shortcut, which is average pooling where the map is halved
and a 1x1 convolution where the width changes. Batch norm after each convolution, ReLU after those
of the stem, between the two of a block, and after the sum.

The last activation is 8x8 for a 64x64 picture, so class activation maps are exact and readable.
Source: He et al. 2016, arXiv:1512.03385; shortcut with average pooling from He et al. 2019,
arXiv:1812.01187 ("ResNet-D"); pooling and head from Lin et al. 2014, arXiv:1312.4400.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from typing_extensions import override

STEM = (32, 64)
STAGES = ((96, 2), (192, 2))  # (width, blocks); each stage halves the map


def _conv(n_in: int, n_out: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(n_out)))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; [n, c, h, w] to [n, n_out, h/stride, w/stride]."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(n_in, n_out, 3, stride)
        self.second = _conv(n_out, n_out, 3)
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if n_in != n_out:
            shortcut.append(_conv(n_in, n_out, 1))
        self.shortcut = nn.Sequential(*shortcut)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return relu(branch + shortcut)."""
        branch = self.second(torch.relu_(self.first(x)))
        return torch.relu_(branch + self.shortcut(x))


class PhotoNet(nn.Module):
    """Pictures [n, 3, h, w], normalised, to logits [n, k]."""

    def __init__(self, n_classes: int = 50) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, STEM[0], 3, 2), nn.ReLU(inplace=True), _conv(*STEM, 3), nn.ReLU(inplace=True)
        )
        blocks, width = [], STEM[1]
        for n_out, depth in STAGES:
            for i in range(depth):
                blocks.append(Block(width, n_out, 2 if i == 0 else 1))
                width = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the last activation, [n, c, h/8, w/8]."""
        out: Tensor = self.blocks(self.stem(x))
        return out

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Average the last activation over positions and map it to logits."""
        out: Tensor = self.head(self.features(x).mean((2, 3)))
        return out
