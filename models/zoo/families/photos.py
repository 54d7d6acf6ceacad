"""Photographs: a small residual network that is averaged over positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from zoo import augment
from zoo.export import IMAGE
from zoo.model import Model, normalised, picture, scaled
from zoo.networks.photos import STAGES, STEM, PhotoNet
from zoo.recipe import CLASSIFY, Change, Recipe
from zoo.sets.photos64 import PHOTOS64, SIZE
from zoo.tidy import read_by

MEAN = (0.48, 0.45, 0.39)
STD = (0.27, 0.26, 0.28)
JITTER = 0.2


def _among_five(outputs: Tensor, _: Tensor, classes: Tensor) -> float:
    best = outputs.topk(5, 1).indices
    return float((best == classes[:, None]).any(1).double().mean())


NAME_OBJECT = replace(CLASSIFY, measure="top-1", others={"top-5": _among_five})


def _seen(x: Tensor, side: int, area: float, rng: torch.Generator) -> Tensor:
    """Crop, mirror, soften and jitter pictures that are normalised, and normalise them again."""
    pixels = x * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    pixels = augment.soften(augment.crop_and_flip(pixels, side, area, rng), rng)
    return normalised(augment.jitter(pixels, JITTER, rng), MEAN, STD)


def small(x: Tensor, rng: torch.Generator) -> Tensor:
    """Crops of a third of the picture at least, 32x32."""
    return _seen(x, 32, 0.35, rng)


def middling(x: Tensor, rng: torch.Generator) -> Tensor:
    """Crops of a third of the picture at least, 48x48."""
    return _seen(x, 48, 0.35, rng)


def whole(x: Tensor, rng: torch.Generator) -> Tensor:
    """Nearly whole pictures at full size."""
    return _seen(x, SIZE, 0.7, rng)


GROWING = Change(
    small,
    "cut a part of 35 to 100 % from each picture, scale it to 32x32, mirror half of the pictures, "
    "soften half of them by up to a binomial blur (the data set's are sharper than what a careful "
    f"resize gives), change brightness, contrast and saturation by up to {JITTER:.0%}",
    until=0.5,
    then=Change(
        middling,
        "the same at 48x48",
        until=0.8,
        then=Change(whole, f"the same with parts of 70 to 100 % at {SIZE}x{SIZE}"),
    ),
)
"""Small pictures first, which cost least, and larger ones last, as a network that is asked about
whole pictures has to end on them (Touvron et al. 2019, arXiv:1906.06423)."""


def _blocks(stages: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{depth} x {width}" for width, depth in stages)


MODELS: Mapping[str, Model] = {
    "photos": Model(
        title="Photographs, 50 classes",
        purpose="Names the main object of a photograph, one of 50. Small enough to serve from a "
        "laptop, with an 8x8 last activation for class activation maps.",
        network=lambda _: PhotoNet(),
        sources=(
            f"Stem of two 3x3 convolutions (stride 2; {STEM[0]}, {STEM[1]}), residual blocks "
            f"{_blocks(STAGES)}, global average pooling, one linear layer. Batch norms are folded "
            "in the file. Logits.",
            "He, Zhang, Ren, Sun 2016: Deep Residual Learning for Image Recognition, CVPR, "
            "arXiv:1512.03385.",
        ),
        data=PHOTOS64,
        recipe=Recipe(
            epochs=60,
            batch=192,
            optimiser="Muon",
            smoothing=0.1,
            average=0.995,
            change=GROWING,
            bfloat16=True,
        ),
        source=IMAGE,
        example=(2, 3, SIZE, SIZE),
        section={**picture(SIZE, MEAN, STD), "resize": "crop"},
        prepare=scaled(MEAN, STD),
        explain={"layer": "features", "baseline": 0.0},
        limits=(
            f"Pictures are scaled to {SIZE} pixels: fine detail (breeds, small objects) is lost.",
            "It always names one of its 50 classes, also for a picture that shows none of them.",
            "Tiny ImageNet's labels are noisy: some crops do not show the object.",
            "One seed. With 2,500 validation pictures the standard error is about 0.8 points.",
        ),
        task=NAME_OBJECT,
        names={"features": read_by("ReduceMean")},
        seeds=1,
    ),
}
