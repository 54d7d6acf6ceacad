"""LeNet-5, with complete connections between its feature maps and a linear last layer.

    layer   what                            map
    C1      6 convolutions 5x5, padding 2   28x28
    S2      average pooling 2x2             14x14
    C3      16 convolutions 5x5             10x10
    S4      average pooling 2x2             5x5
    C5      fully connected, 120
    F6      fully connected, 84
    output  fully connected, k

tanh after C1, C3, C5 and F6. Source: LeCun, Bottou, Bengio, Haffner 1998, Proceedings of the IEEE
86(11), whose S2 and S4 have a weight each, whose C3 is connected in part and whose output layer
holds radial basis functions.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

MAPS = (6, 16)  # of C1 and C3
UNITS = (120, 84)  # of C5 and F6


class LeNet5(nn.Sequential):
    """Pictures [n, 1, 28, 28] to logits [n, k]."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__(
            OrderedDict(
                c1=nn.Conv2d(1, MAPS[0], 5, padding=2),
                tanh1=nn.Tanh(),
                s2=nn.AvgPool2d(2),
                c3=nn.Conv2d(*MAPS, 5),
                tanh3=nn.Tanh(),
                s4=nn.AvgPool2d(2),
                flatten=nn.Flatten(),
                c5=nn.Linear(25 * MAPS[1], UNITS[0]),
                tanh5=nn.Tanh(),
                f6=nn.Linear(*UNITS),
                tanh6=nn.Tanh(),
                output=nn.Linear(UNITS[1], n_classes),
            )
        )
