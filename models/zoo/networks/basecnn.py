"""BaseCNN: ten convolutions, four poolings, two fully connected layers, and its relatives.

    group   convolutions 3x3, padding 1     map after pooling
    1       2 x 32                          16x16
    2       2 x 64                          8x8
    3       3 x 128                         4x4
    4       3 x 128                         2x2
    head    512 - 256 - k

Each convolution is followed by batch norm and ReLU, each group by 2x2 maximum pooling. The counts
(ten, four, two) are those of Liu et al. 2017, "Towards Better Analysis of Deep Convolutional Neural
Networks" (CNNVis), arXiv:1604.07043; how they fall into groups, and the widths, are ours, after
Simonyan & Zisserman 2015, arXiv:1409.1556. Batch norm: Ioffe & Szegedy 2015, arXiv:1502.03167.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

WIDTHS = (32, 64, 128, 128)
DEPTHS = (2, 2, 3, 3)
HIDDEN = 256
DROPOUT = 0.3  # between the two fully connected layers


def convolution(n_in: int, n_out: int, size: int) -> nn.Sequential:
    """A convolution that keeps the map's size, batch norm and ReLU."""
    conv = nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False)
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm2d(n_out), relu=nn.ReLU(inplace=True))
    )


class BaseCNN(nn.Module):
    """Pictures [n, 3, 32, 32], normalised, to logits [n, k].

    Args:
        widths: channels of each group.
        depths: convolutions of each group; a pooling follows each.
        hidden: units of the first fully connected layer.
        n_classes: k.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
        hidden: int = HIDDEN,
        n_classes: int = 10,
    ) -> None:
        super().__init__()
        groups, n_in = OrderedDict[str, nn.Module](), 3
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            layers = [convolution(n_in if j == 0 else width, width, 3) for j in range(depth)]
            groups[f"group{i}"] = nn.Sequential(*layers)
            groups[f"pool{i}"] = nn.MaxPool2d(2)
            n_in = width
        self.features = nn.Sequential(groups)
        side = 32 // 2 ** len(widths)
        self.hidden = nn.Linear(n_in * side * side, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(hidden, n_classes)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        hidden = self.relu(self.hidden(self.features(x).flatten(1)))
        out: Tensor = self.head(self.dropout(hidden))
        return out
