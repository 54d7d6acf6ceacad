"""Small photographs: the networks trained on CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo import augment
from zoo.export import Port
from zoo.model import Model, picture, scaled
from zoo.networks.basecnn import HIDDEN, WIDTHS, BaseCNN
from zoo.networks.nin import NetworkInNetwork
from zoo.recipe import Recipe
from zoo.sets.pictures import CIFAR10
from zoo.sets.samples import Samples

MEAN = (0.491, 0.482, 0.447)
STD = (0.247, 0.243, 0.262)
IMAGE = Port("image", {0: "n"})
LIMITS = (
    "Pictures are scaled to 32 pixels: fine detail is lost.",
    "It always names one of its ten classes, also for a picture that shows none of them.",
    "One seed. With 10,000 test pictures the standard error is about 0.3 points.",
)


def mirrored_and_shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each by up to four pixels."""
    shifted = augment.shift(augment.mirror(x, rng), 4, rng)
    return shifted.contiguous(memory_format=torch.channels_last)


def mirrored_shifted_and_covered(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures, move each by up to four pixels, cover 12x12 of it anywhere."""
    return augment.cover(mirrored_and_shifted(x, rng), 12, rng)


def mirrored_and_cut(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures; cut two batches of three to 24x24, shift the third."""
    if torch.rand(1, generator=rng) < 1 / 3:
        return mirrored_and_shifted(x, rng)
    cut = augment.cut(augment.mirror(x, rng), 24, rng)
    return cut.contiguous(memory_format=torch.channels_last)


RECIPE = Recipe(
    epochs=24, batch=256, optimiser="Muon", smoothing=0.1, average=0.995, held_out=2000,
    change=mirrored_and_shifted, bfloat16=True,
)  # fmt: skip


def _model(
    name: str,
    network: Callable[[Samples], nn.Module],
    sources: Sequence[str],
    *,
    strength: str = "",
    limits: Sequence[str] = (),
    recipe: Recipe = RECIPE,
) -> Model:
    return Model(
        title=f"Small photographs, ten classes ({name})",
        purpose=f"Names the main object of a tiny photograph, one of ten{strength}.",
        network=network,
        sources=sources,
        data=CIFAR10,
        recipe=recipe,
        source=IMAGE,
        example=(2, 3, 32, 32),
        section=picture(32, MEAN, STD),
        prepare=scaled(MEAN, STD),
        explain={"baseline": 0.0},
        seeds=1,
        limits=(*LIMITS, *limits),
    )


_STUDY = (
    "Liu, Shi, Li, Li, Zhu, Liu 2017: Towards Better Analysis of Deep Convolutional Neural "
    "Networks, IEEE TVCG 23(1), arXiv:1604.07043, whose studies of depth and width this repeats."
)
STUDY_RECIPE = replace(RECIPE, epochs=6)
"""A quarter of BaseCNN's epochs, the same for all that are compared: on one core four times the
width takes nine times as long."""


def _of_width(scale: float) -> Model:
    """BaseCNN with every layer but the last so much wider, the fully connected one too."""
    widths = tuple(round(scale * width) for width in WIDTHS)
    hidden = round(scale * HIDDEN)
    written = ", ".join(map(str, widths))
    return _model(
        f"BaseCNN, widths x{scale:g}",
        lambda _: BaseCNN(widths, hidden=hidden),
        (
            f"BaseCNN with {written} channels in its groups of 2, 2, 3, 3 convolutions, and "
            f"{hidden} units in its first fully connected layer. Logits.",
            _STUDY,
        ),
        recipe=STUDY_RECIPE,
    )


_STUDIES: Mapping[str, Model] = {
    "shallow": _model(
        "ShallowCNN",
        lambda _: BaseCNN((32, 64, 128), (2, 2, 3)),
        (
            "BaseCNN without its last group, three convolutions and one pooling fewer: seven 3x3 "
            "convolutions in groups of 2, 2, 3 with 32, 64, 128 channels, three poolings, fully "
            "connected layers of 256 (from maps of 4x4) and 10. Logits.",
            _STUDY,
        ),
        recipe=STUDY_RECIPE,
    ),
    "deep": _model(
        "DeepCNN",
        lambda _: BaseCNN((32, 64, 128, 128, 128), (4, 4, 4, 4, 4)),
        (
            "Twice the convolutions of BaseCNN: twenty, 3x3, in groups of 4 with 32, 64, 128, 128, "
            "128 channels; fully connected layers of 256 and 10. Logits.",
            "The study doubles the poolings too. Eight would need maps of 256x256: 32x32 allows "
            "five, after which they are 1x1, so five it has.",
            _STUDY,
        ),
        recipe=STUDY_RECIPE,
    ),
    "quarter": _of_width(0.25),
    "half": _of_width(0.5),
    "base": _of_width(1),
    "double": _of_width(2),
    "quadruple": _of_width(4),
}
"""Depths and widths beside BaseCNN's own: trained and described, not served."""


MODELS: Mapping[str, Model] = {
    "cifar10-basecnn": _model(
        "BaseCNN",
        lambda _: BaseCNN(),
        (
            "Ten 3x3 convolutions in groups of 2, 2, 3, 3 with 32, 64, 128, 128 channels, each "
            "with batch norm (folded in the file) and ReLU; 2x2 maximum pooling after each group; "
            "fully connected layers of 256 and 10. Logits.",
            "Liu, Shi, Li, Li, Zhu, Liu 2017: Towards Better Analysis of Deep Convolutional Neural "
            "Networks, IEEE TVCG 23(1), arXiv:1604.07043, whose BaseCNN has 11.32 % test error.",
        ),
        recipe=replace(RECIPE, change=mirrored_shifted_and_covered),
        limits=("The last maps are 2x2: ask grad_cam of an earlier layer for finer ones.",),
    ),
    "cifar10-nin": _model(
        "Network in Network",
        lambda _: NetworkInNetwork(),
        (
            "Three blocks of a spatial convolution and two 1x1 convolutions, 192 channels, batch "
            "norm (folded in the file) and ReLU; the last 1x1 convolution makes a map a class; "
            "global average pooling. Logits.",
            "Lin, Chen, Yan 2014: Network In Network, ICLR, arXiv:1312.4400.",
        ),
        strength=", by maps of 8x8 that are averaged: each class has its exact activation map",
        recipe=replace(RECIPE, epochs=20, change=mirrored_and_cut),
    ),
    **{f"cifar10-study-{name}": replace(model, served=False) for name, model in _STUDIES.items()},
}
