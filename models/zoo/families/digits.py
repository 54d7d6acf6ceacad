"""Gray pictures of digits and clothes: perceptron, LeNet-5, autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from torch import Tensor

from zoo import augment
from zoo.export import IMAGE, Port
from zoo.model import Model, Scores, picture, scaled
from zoo.networks import lenet, mlp
from zoo.networks.autoencoder import Autoencoder
from zoo.recipe import RECONSTRUCT, Change, Recipe
from zoo.sets.pictures import FASHION_MNIST, MNIST

MEAN, STD = (0.0,), (1.0,)  # paper is 0: the baseline of "no ink here"
LIMITS = (
    "White ink on black, centred and of one size, as MNIST has it: other digits are not known.",
    "It always names one of its ten classes, whatever the picture shows.",
)


def shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Move each picture by up to two pixels."""
    return augment.shift(x, 2, rng)


def shifted_and_mirrored(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each by one pixel at most."""
    return augment.shift(augment.mirror(x, rng), 1, rng)


SHIFTED = Change(shifted, "move each picture by up to two pixels")
MIRRORED = Change(
    shifted_and_mirrored, "mirror half of the pictures and move each by one pixel at most"
)


def principal_components(root: Path) -> Scores:
    """Return what the best linear code of the same length leaves."""
    train, test = (MNIST.load(root, split).inputs.reshape(-1, 784) / 255 for split in SPLITS)
    pca = PCA(32, svd_solver="covariance_eigh").fit(train)
    error = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    return {"mean square error of 32 principal components, test split": float(error)}


SPLITS = ("train", "test")

_PERCEPTRON = Model(
    title="Handwritten digits (multilayer perceptron)",
    purpose="Names a handwritten digit. The plainest network of the zoo: no convolution, so its "
    "gradients are as rough as such networks' are.",
    network=lambda _: mlp.Perceptron(),
    sources=(
        f"784 - {mlp.UNITS[0]} - {mlp.UNITS[1]} - 10, ReLU, dropout "
        f"{', '.join(map(str, mlp.DROPOUT))} while training. Logits.",
        "ReLU stands where the original has sigmoids.",
        "Rumelhart, Hinton, Williams 1986: Learning representations by back-propagating errors, "
        "Nature 323. Srivastava et al. 2014: Dropout, JMLR 15.",
    ),
    data=MNIST,
    recipe=Recipe(epochs=24, lr=3e-3, held_out=3000, average=0.998, change=SHIFTED),
    source=IMAGE,
    example=(2, 1, 28, 28),
    section=picture(28, MEAN, STD),
    prepare=scaled(MEAN, STD),
    explain={"baseline": 0.0},
    limits=LIMITS,
)

_LENET = replace(
    _PERCEPTRON,
    title="Handwritten digits (LeNet-5)",
    purpose="Names a handwritten digit by the first convolutional network that was widely used.",
    network=lambda _: lenet.LeNet5(),
    sources=(
        f"Convolutions {lenet.MAPS[0]} and {lenet.MAPS[1]}, 5x5, with average pooling, fully "
        f"connected {lenet.UNITS[0]}, {lenet.UNITS[1]}, 10; tanh. "
        "Complete connections in C3, plain pooling, a linear last layer. Logits.",
        "LeCun, Bottou, Bengio, Haffner 1998: Gradient-Based Learning Applied to Document "
        "Recognition, Proceedings of the IEEE 86(11).",
    ),
    recipe=Recipe(epochs=16, lr=4e-3, held_out=3000, average=0.998, change=SHIFTED),
)

MODELS: Mapping[str, Model] = {
    "digits-mlp": _PERCEPTRON,
    "digits-lenet": _LENET,
    "fashion-lenet": replace(
        _LENET,
        title="Clothes (LeNet-5)",
        purpose="Names a piece of clothing, one of ten, with the network that was made for digits.",
        data=FASHION_MNIST,
        recipe=replace(_LENET.recipe, epochs=32, held_out=0, change=MIRRORED),
        limits=(
            "One piece on black, gray, upright: photographs of clothes are not known.",
            "Shirt, T-shirt, pullover and coat are often mistaken for each other.",
        ),
    ),
    "digits-autoencoder": replace(
        _PERCEPTRON,
        title="Handwritten digits, reconstructed (autoencoder)",
        purpose="Gives a picture back through a code of 32 numbers: what is not like a digit does "
        "not survive. Contrastive explanations (Dhurandhar et al. 2018, arXiv:1802.07623) stay "
        "among possible digits by such a network. candor has no such method: it serves this one as "
        "a model whose output is no class.",
        network=lambda _: Autoencoder(),
        sources=(
            "784 - 256 - 32 - 256 - 784, ReLU, sigmoid at the end.",
            "Hinton & Salakhutdinov 2006: Reducing the Dimensionality of Data with Neural "
            "Networks, Science 313.",
        ),
        recipe=Recipe(epochs=30, lr=2e-3, weight_decay=0.0, held_out=3000),
        result=Port("reconstruction", {0: "n"}),
        explain={},
        limits=("Digits only: other pictures come back as something like a digit.",),
        task=RECONSTRUCT,
        baselines=principal_components,
    ),
}
