"""Time series: recurrent networks and a reservoir for vowels, convolutional ones for heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.export import Port
from zoo.manifest import Table
from zoo.model import Model, unpadded
from zoo.networks.fcn import ConvolutionalSeriesNet
from zoo.networks.recurrent import CHANNEL_DROPOUT, DROPOUT, Cell, SeriesNet
from zoo.networks.reservoir import EchoStateNetwork, ReservoirSize, read_out
from zoo.recipe import Change, Recipe
from zoo.sets.samples import Samples
from zoo.sets.series import ECG200, GUN_POINT, VOWELS
from zoo.tidy import read_by

SERIES = Port("series", {0: "n", 1: "t"})
COEFFICIENTS = tuple(f"cepstrum {k}" for k in range(1, 13))
UNITS = 64
NOISE = 0.3
RESERVOIR = ReservoirSize()


def channel_scales(rows: Samples) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each channel over all steps that are not padding, [f] each."""
    steps = torch.from_numpy(rows.inputs).flatten(0, 1)
    steps = steps[steps.abs().amax(1) > 0]
    return steps.mean(0), steps.std(0)


def recurrent(cell: Cell, rows: Samples) -> SeriesNet:
    """Build a recurrent network for nine speakers."""
    return SeriesNet(cell, *channel_scales(rows), hidden=UNITS, n_classes=9, noise=NOISE)


def reservoir(rows: Samples) -> EchoStateNetwork:
    """Draw a reservoir and fit its readout: there is nothing else to train."""
    net = EchoStateNetwork(*channel_scales(rows), n_classes=9, size=RESERVOIR)
    read_out(net, torch.from_numpy(rows.inputs), torch.from_numpy(rows.classes))
    return net


def varied(x: Tensor, rng: torch.Generator) -> Tensor:
    """Scale each series by up to a tenth and add a little noise."""
    scale = 1 + 0.1 * torch.randn(len(x), 1, 1, generator=rng)
    return x * scale + 0.05 * torch.randn(x.shape, generator=rng)


VARIED = Change(varied, "scale each series by up to a tenth and add a little noise")


def _section(features: tuple[str, ...]) -> Table:
    return {"kind": "series", "name": SERIES.name, "features": features}


_VOWELS_LIMITS = (
    "Nine speakers, two vowels, one laboratory: other voices are not known.",
    "370 test series: one is 0.27 points, the standard error about 1.",
    "Zero steps at the end of a series count as padding. A row of nothing but zeros counts as a "
    "series of that length.",
)


def _vowels(
    name: str, network: Callable[[Samples], nn.Module], sources: Sequence[str], recipe: Recipe
) -> Model:
    return Model(
        title=f"Speakers of vowels ({name})",
        purpose="Tells nine speakers apart by the cepstrum of two vowels, series of any length.",
        network=network,
        sources=sources,
        data=VOWELS,
        recipe=recipe,
        source=SERIES,
        example=(2, 11, 12),
        section=_section(COEFFICIENTS),
        prepare=unpadded,
        explain={"baseline": 0.0},
        limits=_VOWELS_LIMITS,
        ragged=True,
    )


def _recurrent_vowels(name: str, cell: Cell, paper: str) -> Model:
    sources = (
        f"Each channel scaled by constants in the graph; one forward {name} of {UNITS} units; mean "
        "over the steps that are not padding; one linear layer. Logits.",
        f"In training, noise of {NOISE:g} deviations, channels dropped with probability "
        f"{CHANNEL_DROPOUT:g}, dropout {DROPOUT:g} before the last layer.",
        paper,
    )
    recipe = Recipe(epochs=120, batch=32, lr=4e-3, weight_decay=0.02, average=0.99)
    return _vowels(name, lambda rows: recurrent(cell, rows), sources, recipe)


AS_PUBLISHED = Recipe(epochs=2000, batch=10, lr=1e-3, average=0.98, bfloat16=True)
"""Length of a run and size of a batch of Fawaz et al. 2019, who augment nothing either."""
_CONVOLUTIONAL = Model(
    title="Heartbeats (fully convolutional network)",
    purpose="Tells a normal heartbeat from one of a myocardial infarction, with an exact class "
    "activation map over time. It shows a method on a small archive and is no medical device.",
    network=lambda _: ConvolutionalSeriesNet(n_channels=1, n_classes=2),
    sources=(
        "Convolutions over time of 128 (width 9), 256 (5) and 128 (3) channels, batch norm (folded "
        "in the file), ReLU; mean over time; one linear layer. Logits.",
        "Wang, Yan, Oates 2017: Time series classification from scratch with deep neural networks: "
        "a strong baseline, IJCNN, arXiv:1611.06455.",
        "Published for this network: 88.9 % (deviation 1.0 over ten runs), Fawaz et al. 2019, "
        "arXiv:1809.04356.",
    ),
    data=ECG200,
    recipe=AS_PUBLISHED,
    source=SERIES,
    example=(2, 50, 1),
    section=_section(("potential",)),
    prepare=unpadded,
    explain={"layer": "features", "baseline": 0.0},
    limits=(
        "The published mean of ten runs lies about one of the 100 test rows above that of these.",
        "100 test heartbeats: one is a whole point, the standard error about 3.",
        "Trained on 96 steps of z-normalised signal: other lengths run, but mean little.",
    ),
    names={"features": read_by("ReduceMean")},
)

MODELS: Mapping[str, Model] = {
    "vowels-rnn": _recurrent_vowels(
        "RNN", nn.RNN, "Elman 1990: Finding Structure in Time, Cogn. Sci. 14."
    ),
    "vowels-lstm": _recurrent_vowels(
        "LSTM", nn.LSTM, "Hochreiter & Schmidhuber 1997: Long Short-Term Memory, Neural Comp. 9."
    ),
    "vowels-gru": _recurrent_vowels("GRU", nn.GRU, "Cho et al. 2014, EMNLP, arXiv:1406.1078."),
    "vowels-esn": _vowels(
        "echo-state network",
        reservoir,
        (
            f"A fixed random reservoir of {RESERVOIR.hidden} leaky tanh units (spectral radius "
            f"{RESERVOIR.radius:g}, leak {RESERVOIR.leak:g}, {100 * RESERVOIR.density:g} % of the "
            f"recurrent weights, input weights {RESERVOIR.scale:g}, biases {RESERVOIR.bias:g}), "
            "mean over the steps that are not padding, linear readout. Logits.",
            "The readout is ridge regression onto one-hot targets, in closed form; its penalty has "
            "the smallest leave-one-out error on the training rows. It is multiplied by the number "
            "with which softmax has the smallest leave-one-out cross-entropy.",
            "In the file the reservoir is a GRU whose gates are constant, which computes the same.",
            "Jaeger 2001: The echo state approach, GMD 148. Jaeger et al. 2007: Optimization and "
            "applications of echo state networks with leaky-integrator neurons, Neural Netw. 20.",
            "Published for an echo-state network of another form: 96.5 % (deviation 0.7), Fawaz et "
            "al. 2019, arXiv:1809.04356.",
        ),
        Recipe(epochs=0),
    ),
    "ecg200-fcn": _CONVOLUTIONAL,
    "gunpoint-fcn": replace(
        _CONVOLUTIONAL,
        title="Drawing a gun or pointing (fully convolutional network)",
        purpose="Tells from the height of a hand whether it drew a gun or only pointed, with an "
        "exact class activation map over time.",
        data=GUN_POINT,
        recipe=Recipe(epochs=200, batch=16, lr=1e-3, average=0.98, change=VARIED),
        sources=(
            *_CONVOLUTIONAL.sources[:2],
            "Published for this network: 100.0 % (deviation 0.0 over ten runs), Fawaz et al. 2019, "
            "arXiv:1809.04356.",
        ),
        section=_section(("height",)),
        limits=(
            "Two actors, 150 test rows: one is 0.67 points.",
            "Trained on 150 steps of z-normalised signal: other lengths run, but mean little.",
        ),
    ),
}
