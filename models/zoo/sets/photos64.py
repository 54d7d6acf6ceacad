"""The photos64 set: 50 classes of Tiny ImageNet as 64x64 JPEG, decoded once into memory.

Source: Le & Yang 2015, "Tiny ImageNet Visual Recognition Challenge"; Russakovsky et al. 2015,
arXiv:1409.0575.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.data import required
from zoo.sets.samples import Samples

SIZE = 64
FOLDER = "photos64"
TRAINING, VALIDATION = 25_000, 2_500  # pictures

# The first name of a class is not always the one a reader expects, and "orange" alone is a colour.
SHORT_NAMES = {
    "n02056570": "king penguin",
    "n02106662": "German shepherd",
    "n02123045": "tabby cat",
    "n02279972": "monarch butterfly",
    "n02437312": "Arabian camel",
    "n02481823": "chimpanzee",
    "n02509815": "red panda",
    "n04356056": "sunglasses",
    "n07614500": "ice cream",
    "n01983481": "lobster",
    "n01698640": "alligator",
    "n04285008": "sports car",
}


def read_classes(root: Path) -> list[tuple[str, str]]:
    """Return (WordNet id, short name) in output order, the order of classes.tsv."""
    text = required(root, f"{FOLDER}/classes.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line]
    return [(wnid, SHORT_NAMES.get(wnid, names.split(",")[0].strip())) for wnid, names in rows]


def load_train(root: Path) -> Samples:
    """Decode the training pictures, uint8 [n, 3, 64, 64]; the class is the folder's name."""
    index = {wnid: k for k, (wnid, _) in enumerate(read_classes(root))}
    members = _jpegs(required(root, f"{FOLDER}/train.tar.gz"))
    return _stack((pixels, index[name.split("/")[1]]) for name, pixels in members)


def load_validation(root: Path) -> Samples:
    """Decode the validation pictures likewise; the class is in val_annotations.txt."""
    index = {wnid: k for k, (wnid, _) in enumerate(read_classes(root))}
    archive = required(root, f"{FOLDER}/val.tar.gz")
    with tarfile.open(archive) as tar:
        handle = tar.extractfile("val/val_annotations.txt")
        if handle is None:
            raise ValueError(f"{archive.name} holds no val/val_annotations.txt")
        rows = [line.split("\t") for line in handle.read().decode().splitlines() if line]
    wnid_of = {row[0]: row[1] for row in rows}
    pairs = _jpegs(archive)
    return _stack((pixels, index[wnid_of[Path(name).name]]) for name, pixels in pairs)


def _jpegs(archive: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            handle = tar.extractfile(member) if member.name.endswith(".JPEG") else None
            if handle is not None:
                picture = Image.open(io.BytesIO(handle.read())).convert("RGB")
                yield member.name, np.asarray(picture, np.uint8).transpose(2, 0, 1)


def _stack(pairs: Iterator[tuple[NDArray[np.uint8], int]]) -> Samples:
    pixels, classes = zip(*pairs, strict=True)
    return Samples(np.stack(pixels), np.asarray(classes, np.int64))
