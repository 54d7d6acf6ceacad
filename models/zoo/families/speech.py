"""Spoken digits: a time-delay network on the waveform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo.export import Port
from zoo.model import Model, Scores, unpadded
from zoo.networks.tdnn import BAND_DROPOUT, DROPOUT, TimeDelayNet
from zoo.progress import say
from zoo.recipe import Change, Recipe
from zoo.sets.speech import SPEAKERS, SPOKEN_DIGITS, read_recordings, to_samples
from zoo.trainer import Trainer, predict, score

WAVEFORM = Port("waveform", {0: "n", 1: "t"})


def spoken_otherwise(x: Tensor, rng: torch.Generator) -> Tensor:
    """Change loudness by up to 10 dB, add noise 30 to 60 dB down, begin up to 50 ms later."""
    loudness = 10 ** (torch.rand(len(x), 1, generator=rng) - 0.5)
    level = x.square().sum(1, keepdim=True) / (x != 0).sum(1, keepdim=True).clamp(min=1)
    down = 10 ** (-1.5 - 1.5 * torch.rand(len(x), 1, generator=rng))
    noise = torch.randn(x.shape, generator=rng) * (x != 0) * level.sqrt() * down
    late = int(torch.randint(400, (1,), generator=rng))
    return torch.nn.functional.pad((x + noise) * loudness, (late, 0))


SPOKEN_OTHERWISE = Change(
    spoken_otherwise,
    "change loudness by up to 10 dB, add noise 30 to 60 dB down, begin up to 50 ms later",
)


def unheard_speakers(root: Path) -> Scores:
    """Return the accuracy on each speaker of networks trained on the other three, seed 0."""
    recordings, model = read_recordings(root), MODELS["spoken-digits-tdnn"]
    found = {}
    for speaker in SPEAKERS:
        others = to_samples([r for r in recordings if r.speaker != speaker])
        own = model.work(to_samples([r for r in recordings if r.speaker == speaker]))
        torch.manual_seed(0)
        trainer = Trainer(model.network(others), model.work(others), model.recipe, 0)
        for _ in range(model.recipe.epochs):
            trainer.train_epoch(lambda: None)
        reached = score(predict(trainer.best(), own), own)
        say(f"without {speaker}: {reached:.2%}")
        found[f"accuracy on {speaker}, trained on the other three speakers"] = reached
    return found


MODELS: Mapping[str, Model] = {
    "spoken-digits-tdnn": Model(
        title="Spoken digits (time-delay neural network)",
        purpose="Names an English digit from its sound: the input is the waveform, and the log-mel "
        "frames are part of the graph, so an explanation is about the samples.",
        network=lambda rows: TimeDelayNet(torch.from_numpy(rows.inputs), n_classes=10),
        sources=(
            "40 log-mel bands, 25 ms every 10 ms, as convolutions with fixed weights; three "
            "convolutions over time of 64 channels (widths 5, 3, 3, dilations 1, 2, 3), batch norm "
            "(folded in the file), ReLU; mean over the frames that are not padding; one linear "
            "layer. Logits.",
            f"In training, bands dropped with probability {BAND_DROPOUT:g}, dropout {DROPOUT:g} "
            "before the last layer.",
            "Waibel, Hanazawa, Hinton, Shikano, Lang 1989: Phoneme Recognition Using Time-Delay "
            "Neural Networks, IEEE TASSP 37.",
        ),
        data=SPOKEN_DIGITS,
        recipe=Recipe(
            epochs=40, batch=32, lr=4e-3, smoothing=0.05, average=0.995, change=SPOKEN_OTHERWISE
        ),
        source=WAVEFORM,
        example=(2, 1500),
        section={"kind": "series", "name": WAVEFORM.name, "features": ("sound pressure",)},
        prepare=unpadded,
        explain={"baseline": 0.0},
        limits=(
            "Mono, 8 kHz, samples from -1 to 1, one digit a row.",
            "Four speakers: the test split has the same voices as the training split, and "
            "flatters. For other voices see the rows of one speaker each, above.",
            "200 test recordings: one is half a point.",
        ),
        ragged=True,
        baselines=unheard_speakers,
    )
}
