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
from zoo.sets.samples import DataSet, Samples

SIZE = 64
FOLDER = "photos64"

CLASSES = {
    "n04540053": "volleyball",
    "n07749582": "lemon",
    "n01641577": "bullfrog",
    "n07920052": "espresso",
    "n02106662": "German shepherd",
    "n02279972": "monarch butterfly",
    "n02132136": "brown bear",
    "n04146614": "school bus",
    "n07873807": "pizza",
    "n04507155": "umbrella",
    "n01443537": "goldfish",
    "n09428293": "seashore",
    "n03085013": "computer keyboard",
    "n02437312": "Arabian camel",
    "n07614500": "ice cream",
    "n02058221": "albatross",
    "n02056570": "king penguin",
    "n01774750": "tarantula",
    "n02509815": "red panda",
    "n07753592": "banana",
    "n03393912": "freight car",
    "n09332890": "lakeside",
    "n02481823": "chimpanzee",
    "n09193705": "alp",
    "n02123045": "tabby cat",
    "n01855672": "goose",
    "n01882714": "koala",
    "n02917067": "bullet train",
    "n04398044": "teapot",
    "n04465501": "tractor",
    "n02165456": "ladybug",
    "n02099601": "golden retriever",
    "n04486054": "triumphal arch",
    "n02206856": "bee",
    "n01910747": "jellyfish",
    "n02268443": "dragonfly",
    "n07734744": "mushroom",
    "n04562935": "water tower",
    "n04356056": "sunglasses",
    "n04285008": "sports car",
    "n04366367": "suspension bridge",
    "n02123394": "Persian cat",
    "n02094433": "Yorkshire terrier",
    "n07747607": "orange",
    "n01983481": "lobster",
    "n01698640": "alligator",
    "n02410509": "bison",
    "n02129165": "lion",
    "n03447447": "gondola",
    "n02504458": "African elephant",
}
"""WordNet id -> the name that a reader expects, in the order of the set's `classes.tsv`."""


def load(root: Path, split: str) -> Samples:
    """Decode pictures, uint8 [n, 3, 64, 64].

    Args:
        root: of the data.
        split: "train" or "validation".
    """
    index = {wnid: k for k, wnid in enumerate(CLASSES)}
    if split == "train":
        members = _jpegs(required(root, f"{FOLDER}/train.tar.gz"))
        return _stack((pixels, index[name.split("/")[1]]) for name, pixels in members)
    archive = required(root, f"{FOLDER}/val.tar.gz")
    wnid_of = _annotated(archive)
    return _stack((pixels, index[wnid_of[Path(name).name]]) for name, pixels in _jpegs(archive))


def _annotated(archive: Path) -> dict[str, str]:
    """Return the WordNet id of each picture of the validation split."""
    with tarfile.open(archive) as tar:
        handle = tar.extractfile("val/val_annotations.txt")
        if handle is None:
            raise ValueError(f"{archive.name} holds no val/val_annotations.txt")
        rows = [line.split("\t") for line in handle.read().decode().splitlines() if line]
    return {row[0]: row[1] for row in rows}


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


PHOTOS64 = DataSet(
    title="photos64",
    labels=tuple(CLASSES.values()),
    load=load,
    facts=(
        "photos64: 50 classes of Tiny ImageNet, 64x64 JPEG with boxes; 25,000 training and 2,500 "
        "validation pictures. The classes of its test pictures are not public.",
    ),
    citation="Le & Yang 2015: Tiny ImageNet Visual Recognition Challenge. Russakovsky et al. 2015: "
    "ImageNet Large Scale Visual Recognition Challenge, arXiv:1409.0575.",
    licence="Tiny ImageNet states no licence of its own; ImageNet's terms of access allow "
    "non-commercial research and education",
    measured="validation",
)
