"""Rows for the page that are nobody's data set: packages bundle them, or they are made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from skimage import data as photographs
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from candor.client import ModelInfo
from candor.client.asking import Rows
from zoo.page import made
from zoo.sets.adult import COLUMNS, encode_record
from zoo.sets.samples import Array


@dataclass(frozen=True, slots=True)
class Shown:
    """One row and what it is.

    Attributes:
        what: in words, for the reader.
        rows: as arguments of a client's call.
        truth: the label that would be right; "" where the model has none for it.
        names: of a record's features, each with its value; else ().
    """

    what: str
    rows: Rows
    truth: str
    names: Sequence[str] = ()


TEXTS = (
    ("A wonderful, moving and beautifully acted film.", "positive"),
    ("I didn't like it: a complete waste of time.", "negative"),
    ("Not a bad film, only a long one.", "positive"),
    ("The jokes are old and the plot is older, and yet I laughed all the way home.", "positive"),
    ("You would have a better evening watching paint dry.", "negative"),
)
_DIGITS = (0, 8, 19)
RECORDS = (
    ("44, Private, 180000, Masters, 14, Married-civ-spouse, Exec-managerial, Husband, White, Male, "
     "0, 0, 50, Canada", ">50K"),
    ("23, Private, 210000, Some-college, 10, Never-married, Sales, Own-child, Black, Female, "
     "0, 0, 25, United-States", "<=50K"),
    ("61, Self-emp-not-inc, 90000, 7th-8th, 4, Widowed, Farming-fishing, Not-in-family, White, "
     "Female, 20000, 0, 70, United-States", ">50K"),
)  # fmt: skip


_SERIES: Mapping[str, tuple[str, Callable[[], Array]]] = {
    "ecg200": ("a heartbeat that we made", made.beat),
    "gunpoint": ("a gesture that we made: lifted, held, lowered", made.gesture),
    "spoken-digits": ("a sound that we made: a tone, a pause, a tone", made.tones),
    "vowels": ("curves that we made: from one vowel to another", made.vowels),
}
"""By the first part of a model's name."""


def shown_for(model: ModelInfo) -> list[Shown]:
    """Rows to show for a model; [] where nothing that may be shown is of its kind."""
    name = model.id.name
    if name.startswith("sentences"):
        return [Shown(f"“{text}”", {"texts": [text]}, truth) for text, truth in TEXTS]
    if name == "adult-mlp":
        return [_record(record, truth) for record, truth in RECORDS]
    if name.startswith("digits"):
        return _digits()
    if name.startswith("fashion"):
        return _clothes()
    if model.kind == "image":
        return _photographs(model.labels)
    return [
        Shown(what, {"tensors": {model.inputs[0][0]: make()[None]}}, "")
        for start, (what, make) in _SERIES.items()
        if name.startswith(start)
    ]


def _record(record: str, truth: str) -> Shown:
    values = record.split(", ")
    row = np.array([encode_record(values)], np.float32)
    names = [f"{column}: {value}" for column, value in zip(COLUMNS, values, strict=True)]
    what = f"an invented person of {values[0]} years"
    return Shown(what, {"tensors": {"record": row}}, truth, names=names)


def _digits() -> list[Shown]:
    """Digits of scikit-learn, 8x8, smoothly enlarged to 20x20 within 28x28, as MNIST has them."""
    bunch = load_digits()
    found = []
    for index in _DIGITS:
        images = [enlarged(bunch.images[index])]
        what = f"scikit-learn's digit {index}"
        found.append(Shown(what, {"images": images}, str(bunch.target[index])))
    return found


def _clothes() -> list[Shown]:
    return [
        Shown("a silhouette that we drew", {"images": [picture]}, label)
        for label, picture in made.silhouettes().items()
    ]


def enlarged(digit: Array) -> Array:
    """A digit of scikit-learn, 8x8 and 0..16, in the form of MNIST's: uint8 [28, 28]."""
    small = Image.fromarray(np.rint(digit * (255 / 16)).astype(np.uint8))
    return np.pad(np.asarray(small.resize((20, 20), Image.Resampling.BICUBIC)), 4)


def _photographs(labels: Sequence[str]) -> list[Shown]:
    cat = next(label for label in labels if label.endswith("cat"))
    espresso = "espresso" if "espresso" in labels else ""
    return [
        Shown("a cat (scikit-image)", {"images": [photographs.chelsea()]}, cat),
        Shown("a cup of coffee (scikit-image)", {"images": [photographs.coffee()]}, espresso),
        Shown("an astronaut (scikit-image)", {"images": [photographs.astronaut()]}, ""),
    ]
