"""A multilayer perceptron: 784 - 256 - 128 - 10, ReLU, dropout.

    layer       units   dropout after it (training)
    input       784     0.1
    hidden1     256     0.3
    hidden2     128     0.3
    head        k       -

Source: Rumelhart, Hinton, Williams 1986, Nature 323; dropout: Srivastava et al. 2014, JMLR 15.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class Perceptron(nn.Sequential):
    """Pictures [n, 1, 28, 28] to logits [n, k]."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__(
            OrderedDict(
                flatten=nn.Flatten(),
                dropout0=nn.Dropout(0.1),
                hidden1=nn.Linear(784, 256),
                relu1=nn.ReLU(),
                dropout1=nn.Dropout(0.3),
                hidden2=nn.Linear(256, 128),
                relu2=nn.ReLU(),
                dropout2=nn.Dropout(0.3),
                head=nn.Linear(128, n_classes),
            )
        )
