"""A fully convolutional network for series, with global average pooling: exact maps over time.

    layer       convolutions over time, same length     then
    1           128, width 9                            batch norm, ReLU
    2           256, width 5                            batch norm, ReLU
    3           128, width 3                            batch norm, ReLU
    mean        over all steps
    head        linear, k

Source: Wang, Yan, Oates 2017, "Time series classification from scratch with deep neural networks: a
strong baseline", IJCNN, arXiv:1611.06455. Its first width is 8; 9 is odd, so that a map lies
where the series is and not half a step beside it. Maps over time: Zhou et al. 2016, CVPR.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from typing_extensions import override

LAYERS = ((128, 9), (256, 5), (128, 3))


def _layer(n_in: int, n_out: int, width: int) -> nn.Sequential:
    conv = nn.Conv1d(n_in, n_out, width, padding=width // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm1d(n_out), relu=nn.ReLU()))


class ConvolutionalSeriesNet(nn.Module):
    """Series [n, t, f] of one length to logits [n, k]."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        sizes = [n_channels, *(n_out for n_out, _ in LAYERS)]
        self.layers = nn.Sequential(
            *(_layer(n_in, *layer) for n_in, layer in zip(sizes, LAYERS, strict=False))
        )
        self.head = nn.Linear(sizes[-1], n_classes)

    @override
    def forward(self, series: Tensor) -> Tensor:
        """Classify by the mean over time of the last activation."""
        out: Tensor = self.head(self.layers(series.transpose(1, 2)).mean(2))
        return out
