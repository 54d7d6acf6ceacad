"""A multilayer perceptron: 784 - 256 - 128 - 10, ReLU, dropout.

    layer       units   dropout after it (training)
    input       784     0.1
    hidden1     256     0.3
    hidden2     128     0.3
    head        k       -

Source: Rumelhart, Hinton, Williams 1986, Nature 323, whose units are sigmoids: ReLU in their place
(Nair & Hinton 2010, ICML) trains in fewer epochs. Dropout: Srivastava et al. 2014, JMLR 15.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

UNITS = (256, 128)
DROPOUT = (0.1, 0.3, 0.3)  # of the input and of each hidden layer


class Perceptron(nn.Sequential):
    """Pictures [n, 1, 28, 28] to logits [n, k]."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__(
            OrderedDict(
                flatten=nn.Flatten(),
                dropout0=nn.Dropout(DROPOUT[0]),
                hidden1=nn.Linear(784, UNITS[0]),
                relu1=nn.ReLU(),
                dropout1=nn.Dropout(DROPOUT[1]),
                hidden2=nn.Linear(*UNITS),
                relu2=nn.ReLU(),
                dropout2=nn.Dropout(DROPOUT[2]),
                head=nn.Linear(UNITS[1], n_classes),
            )
        )
