"""What the service and the reader are told of the photograph model: manifest and card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.card import Card
from zoo.export import IMAGE
from zoo.manifest import Table, write_manifest
from zoo.model import picture
from zoo.networks.photos import STAGES, STEM
from zoo.sets.photos64 import SIZE, TRAINING, VALIDATION
from zoo.train_photos import MEAN, SETTLED, STD, WARM_UP, Recipe

TITLE = "Photographs, 50 classes"
LICENCE = "non-commercial research and education, after the ImageNet terms of access"
SOURCE = "50 classes of Tiny ImageNet (Le & Yang 2015; Russakovsky et al. 2015, arXiv:1409.0575)"


def write_photo_manifest(target: Path, labels: Sequence[str]) -> None:
    """Write `model.toml`."""
    top: Table = {
        "title": TITLE,
        "licence": LICENCE,
        "source": SOURCE,
        "labels": labels,
        "activation": "softmax",
    }
    image: Table = {**picture(SIZE, MEAN, STD), "name": IMAGE.name, "resize": "crop"}
    explain: Table = {"layer": "features", "baseline": 0.0}
    write_manifest(target / "model.toml", top, {"input": image, "explain": explain})


def photo_card(recipe: Recipe) -> Card:
    """Return what `CARD.md` says beside the figures."""
    phases = ", ".join(f"{phase.side} px to {phase.until:.0%}" for phase in recipe.phases)
    stages = ", ".join(f"{depth} x {width}" for width, depth in STAGES)
    return Card(
        title=TITLE,
        purpose="Names the main object of a photograph, one of 50. Small enough to serve from a "
        "laptop, with an 8x8 last activation for class activation maps.",
        data=[
            f"photos64: 50 classes of Tiny ImageNet, 64x64 JPEG with boxes; {TRAINING:,} training "
            f"and {VALIDATION:,} validation pictures.",
            f"Trained on {TRAINING - recipe.held_out:,} pictures; {recipe.held_out:,}, as many of "
            "each class, were held out of the training split to choose the checkpoint. The "
            "validation split was read once, after.",
            "Le & Yang 2015: Tiny ImageNet Visual Recognition Challenge.",
            "Russakovsky et al. 2015: ImageNet Large Scale Visual Recognition Challenge, "
            "arXiv:1409.0575.",
        ],
        licence="ImageNet's terms of access allow non-commercial research and education; Tiny "
        "ImageNet states no licence of its own. The weights are offered for the same use and no "
        "other. The pictures are not in this repository.",
        recipe=[
            f"Stem of two 3x3 convolutions (stride 2; {STEM[0]}, {STEM[1]}), residual blocks "
            f"{stages}, global average pooling, one linear layer. Batch norms are folded in the "
            "file. Logits.",
            f"Picture side by share of the time: {phases}; batch {recipe.batch}; label smoothing "
            f"{recipe.smoothing:g}.",
            f"Muon on the convolutions ({recipe.angle:g} rad a step, momentum 0.9), AdamW "
            f"{recipe.head_lr:g} on the rest; {WARM_UP} steps of warm-up, then linear to zero; "
            f"weight average {recipe.average:g}.",
            f"Batch norms measured anew on {SETTLED:,} whole training pictures at {SIZE} px, after "
            "training.",
            "Random resized crop, mirror, brightness, contrast and saturation; half of the "
            "pictures softened: the data set's are sharper than what a careful resize gives.",
            "Time was the budget, on a machine shared with other work: another run sees another "
            "number of pictures and may differ by a point or two.",
        ],
        limits=[
            f"Pictures are scaled to {SIZE} pixels: fine detail (breeds, small objects) is lost.",
            "It always names one of its 50 classes, also for a picture that shows none of them.",
            "Tiny ImageNet's labels are noisy: some crops do not show the object.",
            f"One seed. With {VALIDATION:,} validation pictures the standard error is about 0.9 "
            "points.",
        ],
        command="make models MODEL=photos",
    )
