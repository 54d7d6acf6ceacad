"""Small photographs: the networks trained on CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo import augment
from zoo.export import IMAGE
from zoo.model import Model, picture, scaled
from zoo.networks import nin
from zoo.networks.basecnn import DEPTHS, DROPOUT, HIDDEN, WIDTHS, BaseCNN
from zoo.recipe import Change, Recipe
from zoo.sets.pictures import CIFAR10
from zoo.sets.samples import Samples
from zoo.tidy import read_by

MEAN = (0.491, 0.482, 0.447)
STD = (0.247, 0.243, 0.262)
LIMITS = (
    "Pictures are scaled to 32 pixels: fine detail is lost.",
    "It always names one of its ten classes, also for a picture that shows none of them.",
    "One seed. With 10,000 test pictures the standard error is about 0.3 points.",
)


def mirrored_and_shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each by up to four pixels."""
    return _mirrored_and_moved(x, 4, rng)


def mirrored_and_nudged(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each by up to two pixels."""
    return _mirrored_and_moved(x, 2, rng)


def _mirrored_and_moved(x: Tensor, most: int, rng: torch.Generator) -> Tensor:
    moved = augment.shift(augment.mirror(x, rng), most, rng)
    return moved.contiguous(memory_format=torch.channels_last)


def mirrored_and_cut(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and cut 24x24 from each."""
    cut = augment.cut(augment.mirror(x, rng), 24, rng)
    return cut.contiguous(memory_format=torch.channels_last)


SHIFTED = Change(
    mirrored_and_shifted, "mirror half of the pictures and move each by up to four pixels"
)
SHIFTED_FIRST = replace(
    SHIFTED,
    until=0.7,
    then=Change(
        mirrored_and_nudged, "mirror half of the pictures and move each by up to two pixels"
    ),
)
"""Ends near what it will be asked about: of 2,000 held-out rows BaseCNN names 0.7 points more right
as they are than moved by four pixels (He et al. 2019, arXiv:1909.09148)."""
CUT_FIRST = Change(
    mirrored_and_cut,
    "mirror half of the pictures and cut 24x24 from each",
    until=0.7,
    then=SHIFTED,
)
"""Cuts cost half as much as whole pictures do, but see things too large and too near: a network
that ends on whole ones is used to them (Touvron et al. 2019, arXiv:1906.06423)."""
RECIPE = Recipe(
    epochs=6, batch=256, optimiser="Muon", smoothing=0.1, average=0.995, held_out=2000,
    change=SHIFTED, bfloat16=True,
)  # fmt: skip
"""Of the studies: the same for all that are compared, and brief, as on one core four times the
width takes nine times as long."""


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


_DROPPED = f"In training, dropout {DROPOUT:g} before the last layer."
_STUDY = (
    "Liu, Shi, Li, Li, Zhu, Liu 2017: Towards Better Analysis of Deep Convolutional Neural "
    "Networks, IEEE TVCG 23(1), arXiv:1604.07043, whose studies of depth and width this repeats."
)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _study(
    name: str, network: Callable[[Samples], nn.Module], sources: Sequence[str]
) -> tuple[str, Model]:
    model = _model(name, network, (*sources, _DROPPED, _STUDY))
    return name, replace(model, served=False)


def _of_width(scale: float) -> tuple[str, Model]:
    """BaseCNN with every layer but the last so much wider, the fully connected one too."""
    widths = tuple(round(scale * width) for width in WIDTHS)
    hidden = round(scale * HIDDEN)
    return _study(
        f"BaseCNN, widths x{scale:g}",
        lambda _: BaseCNN(widths, hidden=hidden),
        (
            f"BaseCNN with {_listed(widths)} channels in its groups of {_listed(DEPTHS)} "
            f"convolutions, and {hidden} units in its first fully connected layer. Logits.",
        ),
    )


PREFIX = "cifar10-study-"
_DEEP = (32, 64, 128, 128, 128)
STUDIES: Mapping[str, tuple[str, Model]] = {
    "shallow": _study(
        "ShallowCNN",
        lambda _: BaseCNN(WIDTHS[:-1], DEPTHS[:-1]),
        (
            "BaseCNN without its last group, three convolutions and one pooling fewer: seven 3x3 "
            f"convolutions in groups of {_listed(DEPTHS[:-1])} with {_listed(WIDTHS[:-1])} "
            f"channels, three poolings, fully connected layers of {HIDDEN} (from maps of 4x4) and "
            "10. Logits.",
        ),
    ),
    "deep": _study(
        "DeepCNN",
        lambda _: BaseCNN(_DEEP, (4, 4, 4, 4, 4)),
        (
            "Twice the convolutions of BaseCNN: twenty, 3x3, in groups of 4 with "
            f"{_listed(_DEEP)} channels; fully connected layers of {HIDDEN} and 10. Logits.",
            "The study doubles the poolings too. Eight would need maps of 256x256: 32x32 allows "
            "five, after which they are 1x1, so five it has.",
        ),
    ),
    "quarter": _of_width(0.25),
    "half": _of_width(0.5),
    "base": _of_width(1),
    "double": _of_width(2),
    "quadruple": _of_width(4),
}
"""Depths and widths beside BaseCNN's own, with their titles: trained and described, not served."""


_NIN = replace(
    _model(
        "Network in Network",
        lambda _: nin.NetworkInNetwork(),
        (
            "Three blocks of a spatial convolution and two 1x1 convolutions, 192 channels, batch "
            "norm (folded in the file) and ReLU; the last 1x1 convolution makes a map a class; "
            "global average pooling. Logits.",
            f"In training, dropout {nin.DROPOUT:g} after the second block.",
            "Asked, it takes the mean of the maps of a picture and of its mirror image, at twice "
            "the work: both get the same answer.",
            "Lin, Chen, Yan 2014: Network In Network, ICLR, arXiv:1312.4400.",
        ),
        strength=", by maps of 8x8 that are averaged: each class has its exact activation map",
        recipe=replace(RECIPE, epochs=38, held_out=0, change=CUT_FIRST),
    ),
    names={"class_maps": read_by("ReduceMean")},
)

MODELS: Mapping[str, Model] = {
    "cifar10-basecnn": _model(
        "BaseCNN",
        lambda _: BaseCNN(),
        (
            f"Ten 3x3 convolutions in groups of {_listed(DEPTHS)} with {_listed(WIDTHS)} channels, "
            "each with batch norm (folded in the file) and ReLU; 2x2 maximum pooling after each "
            f"group; fully connected layers of {HIDDEN} and 10. Logits.",
            _DROPPED,
            "Liu, Shi, Li, Li, Zhu, Liu 2017: Towards Better Analysis of Deep Convolutional Neural "
            "Networks, IEEE TVCG 23(1), arXiv:1604.07043, whose BaseCNN has 11.32 % test error.",
        ),
        limits=("The last maps are 2x2: ask grad_cam of an earlier layer for finer ones.",),
        recipe=replace(RECIPE, epochs=32, held_out=0, change=SHIFTED_FIRST),
    ),
    "cifar10-nin": _NIN,
    **{f"{PREFIX}{name}": model for name, (_, model) in STUDIES.items()},
}
