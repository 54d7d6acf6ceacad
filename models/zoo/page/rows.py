"""The rows that a committed model is tested on, as a client sends its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from candor.client.asking import Rows
from zoo.data import required
from zoo.model import Model
from zoo.sets.adult import ADULT
from zoo.sets.photos64 import PHOTOS64
from zoo.sets.samples import Array, DataSet, Samples, lengths
from zoo.sets.sst2 import SST2, unescape
from zoo.table import TABLE

_AT_ONCE = 50
_SEED = 0
_OFFICIAL = "official test split"
_ORIGINS: Mapping[str, str] = {
    PHOTOS64.title: "validation split",
    ADULT.title: "a fifth, drawn by us",
}
"""Of the sets whose measured rows are no official test split."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows that can be sent, and their classes.

    Attributes:
        kind: `images`, `texts` or `tensors`.
        rows: uint8 [h, w] or [h, w, 3], a text, or a tensor without the batch axis.
        classes: int64 [n].
        input: name of the model's input, where tensors are sent.
        origin: which split it is, in words.
    """

    kind: str
    rows: Sequence[Array | str]
    classes: Array
    input: str = ""
    origin: str = _OFFICIAL

    def ask(self, at: Sequence[int]) -> Rows:
        """Rows as arguments of a client's call; tensors must be of one shape."""
        chosen: list[Any] = [self.rows[i] for i in at]
        if self.kind == "tensors":
            return {"tensors": {self.input: np.stack(chosen)}}
        return {"images": chosen} if self.kind == "images" else {"texts": chosen}

    def sample(self) -> list[int]:
        """All indices in an order drawn by seed, the classes taking turns while they have rows."""
        rng = np.random.default_rng(_SEED)
        drawn = [
            rng.permutation(np.flatnonzero(self.classes == k)) for k in np.unique(self.classes)
        ]
        turns = zip_longest(*(rows.tolist() for rows in drawn))
        return [row for turn in turns for row in turn if row is not None]

    def batches(self) -> Iterator[list[int]]:
        """Indices of rows that go in one request: alike in shape, where they are tensors."""
        lengths = [len(row) if self.kind == "tensors" else 0 for row in self.rows]
        order = np.argsort(lengths, kind="stable")
        for length in np.unique(lengths):
            same = [int(i) for i in order if lengths[i] == length]
            yield from (same[start : start + _AT_ONCE] for start in range(0, len(same), _AT_ONCE))


def load_split(name: str, root: Path) -> Split:
    """Read the rows that a model is measured on.

    Raises:
        MissingDataError: a file is not under `root`.
    """
    model = TABLE[name]
    return replace(_loaded(model, root), origin=_ORIGINS.get(model.data.title, _OFFICIAL))


def _loaded(model: Model, root: Path) -> Split:
    if model.data is SST2:
        return _sentences(root)
    samples = _measured_rows(model.data, root)
    if model.section.get("kind") == "image":
        pixels = samples.inputs.transpose(0, 2, 3, 1)
        rows = list(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return Split("images", rows, samples.classes)
    return Split("tensors", _tensors(model, samples), samples.classes, model.source.name)


@lru_cache(maxsize=1)
def _measured_rows(data: DataSet, root: Path) -> Samples:
    """Several models are measured on one set, which takes seconds to decode."""
    return data.load(root, data.measured)


def _sentences(root: Path) -> Split:
    """The sentences as people type them: the server cuts them itself."""
    lines = required(root, "text/stsa.binary.test").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line]
    texts = [unescape(text) for _, text in pairs]
    return Split("texts", texts, np.array([int(k) for k, _ in pairs], np.int64))


def _tensors(model: Model, samples: Samples) -> list[Array]:
    """Each row at its own length, without the zeros that fill it up."""
    rows = samples.inputs.astype(np.float32)
    if not model.ragged:
        return list(rows)
    return [row[:end] for row, end in zip(rows, lengths(rows), strict=True)]
