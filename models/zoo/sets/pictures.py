"""Small pictures in a tar of PNG or JPEG files: MNIST, Fashion-MNIST, CIFAR-10."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data import required
from zoo.sets.samples import Array, DataSet, Samples

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def load_pictures(
    archive: str, folders: Sequence[str], mode: str, root: Path, split: str
) -> Samples:
    """Decode `<split>/<folder>/<file>` of a tar.gz, whatever stands before.

    Args:
        archive: path below the root of the data.
        folders: name of each class's folder, in order.
        mode: Pillow's, "L" or "RGB".
        root: of the data.
        split: "train" or "test".
    """
    index = {folder: k for k, folder in enumerate(folders)}
    pixels: list[Array] = []
    classes: list[int] = []
    with tarfile.open(required(root, archive)) as tar:
        for member in tar:
            parts = Path(member.name).parts
            handle = tar.extractfile(member) if parts[-3:-2] == (split,) else None
            if handle is not None:
                picture = np.asarray(Image.open(io.BytesIO(handle.read())).convert(mode))
                pixels.append(picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1))
                classes.append(index[parts[-2]])
    return Samples(np.stack(pixels), np.asarray(classes, np.int64))


MNIST = DataSet(
    title="MNIST",
    labels=DIGITS,
    load=partial(load_pictures, "mnist/mnist_png.tar.gz", DIGITS, "L"),
    facts=("MNIST: 60,000 training and 10,000 test pictures of handwritten digits, 28x28 gray.",),
    citation="LeCun, Bottou, Bengio, Haffner 1998: Gradient-Based Learning Applied to Document "
    "Recognition, Proceedings of the IEEE 86(11).",
    licence="MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges)",
)

FASHION_MNIST = DataSet(
    title="Fashion-MNIST",
    labels=CLOTHES,
    load=partial(load_pictures, "fashion_mnist/fashion_mnist_png.tar.gz", DIGITS, "L"),
    facts=("Fashion-MNIST: 60,000 training and 10,000 test pictures of clothes, 28x28 gray.",),
    citation="Xiao, Rasul, Vollgraf 2017: Fashion-MNIST: a Novel Image Dataset for Benchmarking "
    "Machine Learning Algorithms, arXiv:1708.07747.",
    licence="Fashion-MNIST: MIT (Zalando SE)",
)

CIFAR10 = DataSet(
    title="CIFAR-10",
    labels=CIFAR_CLASSES,
    load=partial(load_pictures, "cifar10/cifar10_jpg.tar.gz", CIFAR_CLASSES, "RGB"),
    facts=(
        "CIFAR-10: 50,000 training and 10,000 test pictures of ten classes, 32x32 colour.",
        "This copy is lossy JPEG, in training and test alike, which costs about 0.6 points: not "
        "comparable digit by digit with figures measured on the original files.",
    ),
    citation="Krizhevsky 2009: Learning Multiple Layers of Features from Tiny Images.",
    licence="CIFAR-10 has no formal licence; research use, cite",
)
