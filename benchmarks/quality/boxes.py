"""Pictures whose object lies in known boxes: of photos64, mosaics of these, and kangaroos."""

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from candor.explain.subject import Subject
from candor.result import Array
from zoo.data import required
from zoo.sets import photos64

__all__ = ["Boxed", "kangaroos", "mosaics", "photographs"]

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]
_EDGES = ("xmin", "ymin", "xmax", "ymax")
WALLABY = 104
"""ImageNet's class for kangaroos."""


class Boxed(NamedTuple):
    """A picture, the class that is explained, and where that is.

    Attributes:
        x: [1, 3, h, w], as the model takes it.
        target: class index.
        inside: bool [h, w].
        picture: which one it is; a mosaic is asked about four times.
    """

    x: Array
    target: int
    inside: Array
    picture: int


def photographs(root: Path, subject: Subject, count: int, seed: int) -> list[Boxed]:
    """Validation pictures that the model gets right, whose box covers at most half of them."""
    photos = photos64.load(root, "validation")
    inside = _validation_boxes(root)
    found: list[Boxed] = []
    for at in np.random.default_rng(seed).permutation(len(photos)):
        x, target = _normalised(photos.inputs[at]), int(photos.classes[at])
        right = int(subject.predict(x).score[0].argmax()) == target
        if right and inside[at].mean() <= 0.5:
            found.append(Boxed(x, target, inside[at], int(at)))
        if len(found) == count:
            break
    return found


def mosaics(root: Path, subject: Subject, count: int, seed: int) -> list[Boxed]:
    """2 x 2 mosaics of pictures of four classes, each asked for once for every class.

    Every tile is a whole picture at half its size; the model got each of them right at full size.
    """
    photos = photos64.load(root, "validation")
    rng = np.random.default_rng(seed)
    order = [int(at) for at in rng.permutation(len(photos))]
    right = (
        at for at in order
        if int(subject.predict(_normalised(photos.inputs[at])).score[0].argmax())
        == photos.classes[at]
    )  # fmt: skip
    found: list[Boxed] = []
    tiles: list[int] = []
    for at in right:
        if photos.classes[at] in photos.classes[tiles]:
            continue
        tiles.append(at)
        if len(tiles) == 4:
            found += _mosaic(photos.inputs[tiles], photos.classes[tiles], len(found) // 4)
            tiles = []
        if len(found) == 4 * count:
            break
    return found


def _mosaic(pixels: Array, classes: Array, number: int) -> Iterator[Boxed]:
    half = photos64.SIZE // 2
    whole = np.empty((3, photos64.SIZE, photos64.SIZE), dtype=np.uint8)
    places = [np.s_[:half, :half], np.s_[:half, half:], np.s_[half:, :half], np.s_[half:, half:]]
    for picture, place in zip(pixels, places, strict=True):
        small = Image.fromarray(picture.transpose(1, 2, 0)).resize((half, half), Image.LANCZOS)
        whole[(slice(None), *place)] = np.asarray(small).transpose(2, 0, 1)
    x = _normalised(whole)
    for place, target in zip(places, classes.tolist(), strict=True):
        inside = np.zeros(whole.shape[1:], dtype=bool)
        inside[place] = True
        yield Boxed(x, target, inside, number)


def kangaroos(root: Path, side: int) -> list[Boxed]:
    """Photographs of kangaroos, stretched to a square; all boxes of a picture count as one."""
    found = []
    with tarfile.open(required(root, "kangaroo/kangaroo.tar.gz")) as tar:
        names = {member.name for member in tar}
        for name in sorted(names):
            picture = f"images/{Path(name).stem}.jpg"
            if not name.endswith(".xml") or picture not in names:
                continue
            with _lenient():
                image = Image.open(io.BytesIO(_bytes(tar, picture))).convert("RGB")
            inside = np.zeros((side, side), dtype=bool)
            for box in re.findall(r"<bndbox>(.*?)</bndbox>", _bytes(tar, name).decode(), re.DOTALL):
                edges = dict(re.findall(r"<([xy]m(?:in|ax))>([0-9.]+)<", box))
                _fill(inside, [float(edges[edge]) for edge in _EDGES], image.size)
            pixels = np.asarray(image.resize((side, side), Image.BILINEAR)).transpose(2, 0, 1)
            found.append(Boxed(_normalised(pixels), WALLABY, inside, len(found)))
    return found


@contextmanager
def _lenient() -> Iterator[None]:
    """Read pictures whose last bytes are missing: some files of the set are so."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _validation_boxes(root: Path) -> list[Array]:
    """Where the object is in each validation picture, in the order of `photos64.load`."""
    with tarfile.open(required(root, f"{photos64.FOLDER}/val.tar.gz")) as tar:
        text = _bytes(tar, "val/val_annotations.txt").decode()
        rows = {row[0]: row[2:] for row in (line.split("\t") for line in text.splitlines()) if row}
        names = [Path(m.name).name for m in tar if m.name.endswith(".JPEG")]
    boxes = []
    for name in names:
        inside = np.zeros((photos64.SIZE, photos64.SIZE), dtype=bool)
        _fill(inside, [float(edge) for edge in rows[name]], inside.shape)
        boxes.append(inside)
    return boxes


def _fill(inside: Array, edges: list[float], size: tuple[int, ...]) -> None:
    """Mark a box: left, top, right, bottom in pixels of a picture of this width and height."""
    height, width = inside.shape
    left, top, right, bottom = edges
    across = slice(int(left * width / size[0]), int(np.ceil(right * width / size[0])))
    down = slice(int(top * height / size[1]), int(np.ceil(bottom * height / size[1])))
    inside[down, across] = True


def _normalised(pixels: Array) -> Array:
    return ((pixels.astype(np.float32) / 255 - MEAN) / STD)[None]


def _bytes(tar: tarfile.TarFile, name: str) -> bytes:
    handle = tar.extractfile(name)
    if handle is None:
        raise ValueError(f"{tar.name} holds no file {name}")
    return handle.read()
