"""Networks of several inputs, drawn afresh, and their files."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from candor.result import Array

WORDS = 30
CLASSES = 4


class Listing(nn.Module):
    """A picture of any size and a record."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, padding=1)
        self.two = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.facts = nn.Linear(5, 8)
        self.head = nn.Sequential(nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, CLASSES))

    def forward(self, picture: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """picture [n, 3, h, w], facts [n, 5] -> logits [n, 4]."""
        seen = torch.tanh(self.two(torch.tanh(self.one(picture)))).mean((2, 3))
        return self.head(torch.cat([seen, torch.tanh(self.facts(facts))], 1) * 3)


class Sensors(nn.Module):
    """Two series, each of its own length, ending in softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = nn.Conv1d(3, 6, 5, padding=2), nn.Conv1d(2, 6, 3, padding=1)
        self.head = nn.Linear(12, CLASSES)

    def logits(self, fast: torch.Tensor, slow: torch.Tensor) -> torch.Tensor:
        """fast [n, t, 3], slow [n, u, 2] -> what is before the softmax, [n, 4]."""
        a = torch.tanh(self.fast(fast.transpose(1, 2)))
        b = torch.tanh(self.slow(slow.transpose(1, 2)))
        means = torch.cat([(a * a).mean(2), b.mean(2) * a.mean(2)], 1)
        return 4 * self.head(means)

    def forward(self, fast: torch.Tensor, slow: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, 4]."""
        return self.logits(fast, slow).softmax(1)


class Review(nn.Module):
    """Token ids, which of them are words, and a few numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 7)
        self.mix = nn.Linear(7, 9)
        self.head = nn.Linear(9 + 3, CLASSES)

    def embedded(
        self, vectors: torch.Tensor, is_word: torch.Tensor, facts: torch.Tensor
    ) -> torch.Tensor:
        """Behind the embedding: vectors [n, t, 7], is_word int64 [n, t], facts [n, 3]."""
        weight = is_word.to(vectors.dtype).unsqueeze(2)
        mean = (torch.tanh(self.mix(vectors)) * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(torch.cat([mean, torch.sin(facts) * mean[:, :3]], 1))

    def forward(
        self, ids: torch.Tensor, is_word: torch.Tensor, facts: torch.Tensor
    ) -> torch.Tensor:
        """ids [n, t] -> logits [n, 4]."""
        return self.embedded(self.table(ids), is_word, facts)


class Masked(nn.Module):
    """Token ids, and which of them are words: one input that is explained."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(WORDS, 7), nn.Linear(7, CLASSES)

    def forward(self, ids: torch.Tensor, is_word: torch.Tensor) -> torch.Tensor:
        """ids, is_word [n, t] -> logits [n, 4]."""
        weight = is_word.to(torch.float32).unsqueeze(2)
        return self.head((torch.tanh(self.table(ids)) * weight).sum(1))


class Gated(nn.Module):
    """Two pictures: what is seen in one as a whole weighs the channels of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(1, 6, 3, padding=1)
        self.mix, self.head = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.Linear(8, CLASSES)

    def mixed(self, scene: torch.Tensor, sketch: torch.Tensor) -> torch.Tensor:
        """scene [n, 3, h, w], sketch [n, 1, u, v] -> the last layer, [n, 8, h / 2, w / 2]."""
        gate = torch.tanh(self.two(sketch)).mean((2, 3), keepdim=True).sigmoid()
        return torch.tanh(self.mix(torch.tanh(self.one(scene)) * gate))

    def forward(self, scene: torch.Tensor, sketch: torch.Tensor) -> torch.Tensor:
        """Logits [n, 4]."""
        return self.head(self.mixed(scene, sketch).mean((2, 3)))


class Warmed(nn.Module):
    """A record, and one number for all rows."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, CLASSES)

    def forward(self, facts: torch.Tensor, warmth: torch.Tensor) -> torch.Tensor:
        """facts [n, 5], warmth [1] -> logits [n, 4]."""
        return self.head(facts) / warmth


@dataclass(frozen=True)
class Rows:
    """Rows of a network, by input, as the service and torch take them."""

    by_name: dict[str, Array]

    @property
    def torch(self) -> tuple[torch.Tensor, ...]:
        """In float64 where they are float."""
        found = (torch.from_numpy(array) for array in self.by_name.values())
        return tuple(one.double() if one.is_floating_point() else one for one in found)


def listings(rng: np.random.Generator, n: int) -> Rows:
    """Pictures of 20 x 24."""
    picture = rng.normal(size=(n, 3, 20, 24)).astype(np.float32)
    return Rows({"picture": picture, "facts": rng.normal(size=(n, 5)).astype(np.float32)})


def pairs(rng: np.random.Generator, n: int) -> Rows:
    """Pictures of 16 x 12 and of 10 x 10."""
    scene = rng.normal(size=(n, 3, 16, 12)).astype(np.float32)
    return Rows({"scene": scene, "sketch": rng.normal(size=(n, 1, 10, 10)).astype(np.float32)})


def sensors(rng: np.random.Generator, n: int) -> Rows:
    """Series of 40 and 17 steps; the second one is ten times as large."""
    fast = rng.normal(size=(n, 40, 3)).astype(np.float32)
    return Rows({"fast": fast, "slow": (10 * rng.normal(size=(n, 17, 2))).astype(np.float32)})


def reviews(rng: np.random.Generator, n: int, *, facts: bool = True) -> Rows:
    """Texts of 9 tokens at most, padded with 0 in front of nothing."""
    ids = rng.integers(1, WORDS, size=(n, 9))
    ids[:, 6:] = np.where(np.arange(n)[:, None] % 2, 0, ids[:, 6:])
    rows = {"ids": ids, "is_word": (ids != 0).astype(np.int64)}
    return Rows(rows | ({"facts": rng.normal(size=(n, 3)).astype(np.float32)} if facts else {}))


def save(net: nn.Module, rows: Rows, root: Path, name: str) -> None:
    """Write a network where the service finds it; all but channels and features is free."""
    folder = root / name / "1"
    folder.mkdir(parents=True)
    free = {name: {2: f"{name}_h", 3: f"{name}_w"} for name in ("picture", "scene", "sketch")}
    free |= {"fast": {1: "t"}, "slow": {1: "u"}}
    free |= {"ids": {1: "t"}, "is_word": {1: "t"}}
    names = list(rows.by_name)
    axes = {each: ({0: "n"} | free.get(each, {})) for each in names if each != "warmth"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have its newer exporter used
        torch.onnx.export(
            net, tuple(torch.from_numpy(array) for array in rows.by_name.values()),
            str(folder / "model.onnx"), dynamo=False, opset_version=18,
            input_names=names, output_names=["scores"], dynamic_axes=axes | {"scores": {0: "n"}},
        )  # fmt: skip
