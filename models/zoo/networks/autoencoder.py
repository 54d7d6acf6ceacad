"""An autoencoder: 784 - 256 - 32 - 256 - 784, for asking how far a picture is from the digits.

    layer       units   then
    encode1     256     ReLU
    code        32      -
    decode1     256     ReLU
    decode2     784     sigmoid: a pixel in 0..1

Source: Hinton & Salakhutdinov 2006, Science 313 (without the layerwise pretraining).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from typing_extensions import override


class Picture(nn.Module):
    """Rows of 784 pixels as pictures; Unflatten exports seven nodes for this one."""

    @override
    def forward(self, pixels: Tensor) -> Tensor:
        """Return [n, 1, 28, 28]."""
        return pixels.reshape(-1, 1, 28, 28)


class Autoencoder(nn.Sequential):
    """Pictures [n, 1, 28, 28], pixels 0..1, to their reconstruction, same shape and range."""

    def __init__(self, n_codes: int = 32) -> None:
        super().__init__(
            OrderedDict(
                flatten=nn.Flatten(),
                encode1=nn.Linear(784, 256),
                relu1=nn.ReLU(),
                code=nn.Linear(256, n_codes),
                decode1=nn.Linear(n_codes, 256),
                relu2=nn.ReLU(),
                decode2=nn.Linear(256, 784),
                sigmoid=nn.Sigmoid(),
                picture=Picture(),
            )
        )
