"""`train photos`: fit, choose the checkpoint on held-out training pictures, export, describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from zoo.card import HARDWARE, Card, percent, write_card
from zoo.export import Port, name_value, only, save, to_onnx
from zoo.fold import fold_norms
from zoo.manifest import Table, write_manifest
from zoo.photos import PhotoNet
from zoo.photos64 import SIZE, Photos, load_train, load_validation, read_classes, split
from zoo.progress import say
from zoo.train_photos import (
    MEAN,
    STD,
    Recipe,
    Trainer,
    accuracy,
    normalise,
    predict,
    settle,
)

LICENCE = "non-commercial research and education, after the ImageNet terms of access"
SOURCE = "50 classes of Tiny ImageNet (Le & Yang 2015; Russakovsky et al. 2015, arXiv:1409.0575)"
CHUNK = 40  # steps between checkpoints
IMAGE = Port("image", {0: "n"})
LOGITS = Port("logits", {0: "n"})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint that is exported: the averaged network and where it stood."""

    net: nn.Module
    held_out: float
    step: int
    seconds: float


def fit(root: Path, runs: Path, recipe: Recipe) -> Path:
    """Train to the end of the plan, going on from `runs/photos.pt` if there; return the best.

    The best checkpoint is that of the averaged weights with the highest accuracy at full size on
    pictures held out from the training split; the validation split is not read here.
    """
    runs.mkdir(parents=True, exist_ok=True)
    state, best_path = runs / "photos.pt", runs / "photos-best.pt"
    rest, held = split(load_train(root), recipe.held_out, recipe.seed)
    trainer = Trainer(recipe)
    learner = trainer.learner
    best = -1.0
    if state.exists():
        learner.load(state)
        best = load_chosen(best_path).held_out if best_path.exists() else best
    while trainer.progress() < 1.0:
        phase = trainer.phase()
        loss = trainer.train_steps(rest, CHUNK)
        learner.save(state)
        # Early weights have seen small pictures only and are poor at full size: no candidates.
        score = 0.0
        if trainer.progress() > 0.95:
            candidate = settle(learner.average, rest, recipe.seed)
            score = accuracy(predict(candidate, held.pixels), held.classes)
            if score > best:
                best = score
                save_chosen(best_path, Chosen(candidate, score, learner.step, learner.seconds))
        say(
            f"step {learner.step:5} at {phase.side} px  loss {loss:.3f}  held out {score:.2%}  "
            f"{learner.seconds:.0f} s, {trainer.progress():.0%}"
        )
    return best_path


def save_chosen(path: Path, chosen: Chosen) -> None:
    """Write a checkpoint that `load_chosen` reads."""
    torch.save(
        {
            "weights": chosen.net.state_dict(),
            "held_out": chosen.held_out,
            "step": chosen.step,
            "seconds": chosen.seconds,
        },
        path,
    )


def load_chosen(path: Path) -> Chosen:
    """Read the best checkpoint that `fit` wrote."""
    state = torch.load(path, weights_only=True)
    net = PhotoNet()
    net.load_state_dict(state["weights"])
    return Chosen(net, state["held_out"], state["step"], state["seconds"])


def export_photos(net: nn.Module) -> ModelProto:
    """Return the ONNX model, batch norms folded; its last activation is named "features"."""
    model = to_onnx(fold_norms(net), torch.zeros(2, 3, SIZE, SIZE), IMAGE, LOGITS)
    name_value(model, only(model, "ReduceMean").input[0], "features")
    return model


def publish(root: Path, target: Path, chosen: Chosen, recipe: Recipe) -> None:
    """Write model, manifest and card under `target`, with the validation split's accuracy."""
    model = export_photos(chosen.net)
    save(model, target / "1" / "model.onnx")
    _write_manifest(root, target)
    validation = load_validation(root)
    logits, difference = compare(chosen.net, model, validation)
    top1, top5 = (accuracy(logits, validation.classes, top) for top in (1, 5))
    say(f"validation top-1 {top1:.2%}, top-5 {top5:.2%}, ONNX to torch {difference:.1e}")
    rows = [
        ("top-1, validation split (2,500 pictures)", percent(top1)),
        ("top-5, validation split", percent(top5)),
        (
            "top-1, 2,000 held-out training pictures, the checkpoint's choice",
            percent(chosen.held_out),
        ),
        ("largest difference ONNX to torch, validation split", f"{difference:.1e}"),
        ("parameters", f"{sum(p.numel() for p in chosen.net.parameters()):,}"),
        ("file", f"{model.ByteSize():,} bytes, opset {model.opset_import[0].version}"),
        (
            "training",
            f"{chosen.seconds / 60:.0f} min, {chosen.step * recipe.batch / 23_000:.1f} "
            f"epochs, seed {recipe.seed}",
        ),
        ("hardware", f"{HARDWARE}, float32"),
    ]
    write_card(target / "CARD.md", _card(rows, recipe))


@torch.no_grad()
def compare(net: nn.Module, model: ModelProto, photos: Photos) -> tuple[Tensor, float]:
    """Return the ONNX model's logits and their largest difference from torch's.

    Raises:
        ValueError: the two reach different accuracies.
    """
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = torch.split(torch.from_numpy(photos.pixels), 100)
    rows = [session.run(None, {"image": normalise(b.float() / 255).numpy()})[0] for b in batches]
    ours, theirs = torch.from_numpy(np.concatenate(rows)), predict(net, photos.pixels)
    if accuracy(ours, photos.classes) != accuracy(theirs, photos.classes):
        raise ValueError("the exported model has another accuracy than the network")
    return ours, float((ours - theirs).abs().max())


def _write_manifest(root: Path, target: Path) -> None:
    top: Table = {
        "title": "Photographs, 50 classes",
        "licence": LICENCE,
        "source": SOURCE,
        "labels": [label for _, label in read_classes(root)],
        "activation": "softmax",
    }
    image: Table = {
        "kind": "image",
        "name": IMAGE.name,
        "layout": "nchw",
        "size": [SIZE, SIZE],
        "resize": "crop",
        "range": [0.0, 1.0],
        "mean": MEAN,
        "std": STD,
        "channels": "rgb",
    }
    explain: Table = {"layer": "features", "baseline": 0.0}
    write_manifest(target / "model.toml", top, {"input": image, "explain": explain})


def _card(rows: list[tuple[str, str]], recipe: Recipe) -> Card:
    phases = ", ".join(f"{phase.side} px to {phase.until:.0%}" for phase in recipe.phases)
    return Card(
        title="Photographs, 50 classes",
        purpose="Names the main object of a photograph, one of 50. Small enough to serve from a "
        "laptop, with an 8x8 last activation for class activation maps.",
        data=[
            "photos64: 50 classes of Tiny ImageNet, 64x64 JPEG with boxes; 25,000 training and "
            "2,500 validation pictures.",
            f"Trained on 23,000 pictures; {recipe.held_out} a class (2,000) were held out of the "
            "training split to choose the checkpoint. The validation split was read once, after.",
            "Le & Yang 2015: Tiny ImageNet Visual Recognition Challenge.",
            "Russakovsky et al. 2015: ImageNet Large Scale Visual Recognition Challenge, "
            "arXiv:1409.0575.",
        ],
        licence="ImageNet's terms of access allow non-commercial research and education; Tiny "
        "ImageNet states no licence of its own. The weights are offered for the same use and no "
        "other. The pictures are not in this repository.",
        recipe=[
            "Stem of two 3x3 convolutions (stride 2), residual blocks 2 x 96 and 2 x 192, global "
            "average pooling, one linear layer. Batch norms are folded in the file. Logits.",
            f"Picture side by share of the time: {phases}; batch {recipe.batch}; label smoothing "
            f"{recipe.smoothing:g}.",
            f"Muon on the convolutions ({recipe.angle:g} rad a step, momentum 0.9), AdamW "
            f"{recipe.head_lr:g} on the rest; 100 steps of warm-up, then linear to zero; weight "
            f"average {recipe.ema:g}.",
            "Batch norms measured anew on 4,000 whole training pictures at 64 px, after training.",
            "Random resized crop, mirror, brightness, contrast and saturation; half of the "
            "pictures softened: the data set's are sharper than what a careful resize gives.",
            "Time was the budget, on a machine shared with other work: another run sees another "
            "number of pictures and may differ by a point or two.",
        ],
        rows=rows,
        limits=[
            "Pictures are scaled to 64 pixels: fine detail (breeds, small objects) is lost.",
            "It always names one of its 50 classes, also for a picture that shows none of them.",
            "Tiny ImageNet's labels are noisy: some crops do not show the object.",
            "One seed. With 2,500 validation pictures the standard error is about 0.9 points.",
        ],
        command="make models MODEL=photos",
    )
