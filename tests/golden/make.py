"""Make the golden values: tiny networks, inputs, and what the reference packages say of them.

    python -m golden.make        (with tests/ and service/ on the path)

writes picture.npz, sentence.npz and record.npz beside this file. Each holds the weights (torch's
names and layout, exact in float32), the inputs, the options, the versions of the packages that made
it, and their attributions in float64. Everything is seeded; the same packages make the same values.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from agreement.references import (
    CAMS,
    ClassifierOutputTarget,
    IntegratedGradients,
    LayerIntegratedGradients,
    LimeImageExplainer,
    LimeTabularExplainer,
    LimeTextExplainer,
    Occlusion,
    Saliency,
)
from candor.result import Array

__all__ = ["make_picture", "make_record", "make_sentence"]

PACKAGES = ("captum", "grad-cam", "lime", "numpy", "torch")
N_STEPS, N_SAMPLES, SEED = 20, 150, 7


class _Picture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 6, 3, stride=2)
        self.rectify_first, self.rectify_second = nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(96, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.rectify_second(self.second(self.rectify_first(self.first(x))))
        return self.head(x.flatten(1))


class _Sentence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 5)
        self.memory = nn.LSTM(5, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.memory(self.embed(ids))[0].mean(1))


class _Record(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(x).tanh())


def make_picture() -> dict[str, Array]:
    """What captum, lime and pytorch-grad-cam say of a small convolutional network."""
    network = _ready(_Picture())
    x = np.random.default_rng(SEED).random((2, 3, 12, 12)).astype(np.float32).astype(np.float64)
    targets = np.array([2, 0])
    rows, wanted = torch.tensor(x), torch.tensor(targets)
    window, stride = np.array([4, 5]), np.array([3, 2])
    segments = np.arange(12)[:, None] // 3 * 4 + np.arange(12) // 3
    lime = [_lime_of_picture(network, row, segments, t) for row, t in zip(x, targets, strict=True)]
    maps = {}
    for method, made in CAMS.items():
        with made(network, [network.rectify_second]) as reference:
            maps[method] = reference(rows, [ClassifierOutputTarget(target) for target in targets])
    return {
        **_weights(network),
        "x": x.astype(np.float32),
        "targets": targets,
        "score": network(rows).detach().numpy(),
        "gradient": Saliency(network)
        .attribute(rows.clone().requires_grad_(), target=wanted, abs=False)
        .detach()
        .numpy(),
        **maps,
        "n_steps": np.array(N_STEPS),
        "integrated_gradients": IntegratedGradients(network)
        .attribute(rows, target=wanted, n_steps=N_STEPS)
        .numpy(),
        "window": window,
        "stride": stride,
        "occlusion": Occlusion(network)
        .attribute(rows, (3, *window), strides=(3, *stride), target=wanted)
        .numpy(),
        "segments": segments.astype(np.int32),
        **_lime_arrays(lime),
    }


def make_sentence() -> dict[str, Array]:
    """What captum and lime say of a small LSTM over words; 0 pads, 1 is unknown."""
    network = _ready(_Sentence())
    ids = np.array([[5, 2, 9, 3, 11, 7, 0, 0], [4, 10, 6, 2, 8, 3, 5, 9]])
    targets = np.array([1, 2])
    rows, wanted = torch.tensor(ids), torch.tensor(targets)
    by_embedding = LayerIntegratedGradients(network, network.embed)
    value = network.embed(rows).detach().requires_grad_()
    score = network.head(network.memory(value)[0].mean(1))
    (gradient,) = torch.autograd.grad(score[[0, 1], targets].sum(), value)
    lime = [_lime_of_sentence(network, row, t) for row, t in zip(ids, targets, strict=True)]
    return {
        **_weights(network),
        "x": ids,
        "targets": targets,
        "score": score.detach().numpy(),
        "gradient": gradient.numpy(),
        "n_steps": np.array(N_STEPS),
        "integrated_gradients": by_embedding.attribute(
            rows, torch.zeros_like(rows), target=wanted, n_steps=N_STEPS
        )
        .detach()
        .numpy(),
        "occlusion": Occlusion(network).attribute(rows, (1,), baselines=0, target=wanted).numpy(),
        **_lime_arrays(lime),
    }


def make_record() -> dict[str, Array]:
    """What captum and lime say of a perceptron over three numbers and two categories."""
    network = _ready(_Record())
    draw = np.random.default_rng(SEED)
    training = [
        draw.normal(0, 1, 200),
        np.where(draw.random(200) < 0.8, 0, draw.exponential(1, 200)),
        draw.integers(0, 4, 200),
        draw.normal(1, 2, 200),
        draw.integers(0, 2, 200),
    ]
    records = np.stack(training, axis=1).astype(np.float32).astype(np.float64)
    x, targets = records[:2], np.array([1, 2])
    rows, wanted = torch.tensor(x), torch.tensor(targets)
    lime = [_lime_of_record(network, records, row, t) for row, t in zip(x, targets, strict=True)]
    return {
        **_weights(network),
        "training": records.astype(np.float32),
        "x": x.astype(np.float32),
        "targets": targets,
        "score": network(rows).detach().numpy(),
        "gradient": Saliency(network)
        .attribute(rows.clone().requires_grad_(), target=wanted, abs=False)
        .detach()
        .numpy(),
        "n_steps": np.array(N_STEPS),
        "integrated_gradients": IntegratedGradients(network)
        .attribute(rows, target=wanted, n_steps=N_STEPS)
        .numpy(),
        "occlusion": Occlusion(network).attribute(rows, (1,), target=wanted).numpy(),
        **_lime_arrays(lime),
    }


def _ready(network: nn.Module) -> nn.Module:
    """Give it weights that float32 holds exactly, and compute with them in float64."""
    draw = np.random.default_rng(SEED)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            scale = 1.0 if name.startswith("embed") else 2.0 / np.sqrt(parameter[0].numel())
            values = draw.normal(size=tuple(parameter.shape)) * scale
            parameter.copy_(torch.tensor(values, dtype=torch.float32))
    return network.double().eval()


def _weights(network: nn.Module) -> dict[str, Array]:
    return {
        f"weights/{name}": value.detach().float().numpy()
        for name, value in network.named_parameters()
    }


def _lime_of_picture(network: nn.Module, row: Array, segments: Array, target: int):
    def probabilities(pictures: Array) -> Array:
        return _probabilities(network, np.moveaxis(pictures, -1, 1))

    explanation = LimeImageExplainer(random_state=SEED).explain_instance(
        np.moveaxis(row, 0, -1),
        probabilities,
        labels=(target,),
        top_labels=None,
        num_samples=N_SAMPLES,
        segmentation_fn=lambda _: segments,
        random_seed=0,
    )
    return explanation, target


def _lime_of_sentence(network: nn.Module, ids: Array, target: int):
    words = ids[ids != 0]

    def probabilities(sentences: list[str]) -> Array:
        known = [[int(word.replace("UNKWORDZ", "1")) for word in s.split()] for s in sentences]
        return _probabilities(network, np.pad(known, ((0, 0), (0, len(ids) - len(words)))))

    explainer = LimeTextExplainer(bow=False, mask_string="UNKWORDZ", random_state=SEED)
    explanation = explainer.explain_instance(
        " ".join(map(str, words)),
        probabilities,
        labels=(target,),
        num_features=99,
        num_samples=N_SAMPLES,
    )
    return explanation, target


def _lime_of_record(network: nn.Module, training: Array, row: Array, target: int):
    explainer = LimeTabularExplainer(
        training, categorical_features=[2, 4], random_state=SEED, feature_selection="none"
    )
    explanation = explainer.explain_instance(
        row,
        lambda records: _probabilities(network, records),
        labels=(target,),
        num_features=5,
        num_samples=N_SAMPLES,
    )
    return explanation, target


def _probabilities(network: nn.Module, x: Array) -> Array:
    with torch.no_grad():
        return network(torch.tensor(x)).softmax(1).numpy()


def _lime_arrays(explanations: list) -> dict[str, Array]:
    arrays = {"n_samples": np.array(N_SAMPLES), "seed": np.array(SEED)}
    for row, (explanation, target) in enumerate(explanations):
        coefficients = [value for _, value in sorted(explanation.local_exp[target])]
        arrays[f"lime/{row}/coefficients"] = np.array(coefficients)
        arrays[f"lime/{row}/intercept"] = np.array(explanation.intercept[target])
        arrays[f"lime/{row}/r2"] = np.array(explanation.score)
    return arrays


def _write(name: str, arrays: Mapping[str, Array]) -> None:
    versions = np.array([f"{package}=={version(package)}" for package in PACKAGES])
    path = Path(__file__).with_name(f"{name}.npz")
    np.savez_compressed(path, versions=versions, **arrays)
    print(f"{path.name}: {path.stat().st_size} bytes, {', '.join(versions)}")  # noqa: T201


if __name__ == "__main__":
    _write("picture", make_picture())
    _write("sentence", make_sentence())
    _write("record", make_record())
