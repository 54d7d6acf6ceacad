"""Network in Network: 1x1 convolutions as small networks, global average pooling instead of a head.

    block   layers                                              map
    1       192 5x5, 160 1x1, 96 1x1, maximum pooling 3/2       16x16
    2       192 5x5, 192 1x1, 192 1x1, average pooling 3/2      8x8
    3       192 3x3, 192 1x1, k 1x1                             8x8
    head    mean over the 64 positions

Asked, not in training, it looks at the mirror image too and takes the mean of both maps: a picture
and its mirror image get the same answer, and mirrored maps. The last maps are the classes' own, so
a class activation map is a class's map and nothing else.

Source: Lin, Chen, Yan 2014, arXiv:1312.4400 (layer sizes of its CIFAR-10 network). Batch norm
(Ioffe & Szegedy 2015) after each convolution is ours and replaces most of the dropout; so is the
mean over mirror images (over a group of transformations: Cohen & Welling 2016, arXiv:1602.07576).
"""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from zoo.networks.basecnn import convolution

DROPOUT = 0.2  # after the second pooling


class NetworkInNetwork(nn.Module):
    """Pictures [n, 3, h, w], normalised, to logits [n, k]."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            convolution(3, 192, 5),
            convolution(192, 160, 1),
            convolution(160, 96, 1),
            nn.MaxPool2d(3, 2, padding=1),
            convolution(96, 192, 5),
            convolution(192, 192, 1),
            convolution(192, 192, 1),
            nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
            nn.Dropout(DROPOUT),
            convolution(192, 192, 3),
            convolution(192, 192, 1),
        )
        self.maps = nn.Conv2d(192, n_classes, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Average each class's map."""
        found: Tensor = self.maps(self.blocks(x))
        if not self.training:
            mirrored = self.maps(self.blocks(x.flip(3))).flip(3)
            found = (found + mirrored) / 2
        return found.mean((2, 3))
