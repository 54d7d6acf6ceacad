"""Training rows that need no data folder: packages bundle them, or they are made here."""

import numpy as np
from skimage import data as photographs
from sklearn.datasets import load_digits

from zoo.sets import adult
from zoo.sets.samples import Samples, stack_series

RECORDS = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, "
    "2174, 0, 40, United-States",
    "52, Self-emp-inc, 287927, HS-grad, 9, Married-civ-spouse, Exec-managerial, Wife, White, "
    "Female, 15024, 0, 40, United-States",
    "28, ?, 338409, Bachelors, 13, Married-civ-spouse, Prof-specialty, Wife, Black, Female, 0, "
    "1902, 60, Cuba",
    "17, Private, 45000, 11th, 7, Never-married, Sales, Own-child, Other, Male, 0, 0, 12, Atlantis",
)


def gray():
    """The digits of scikit-learn, 8x8, enlarged to 28x28."""
    bunch = load_digits()
    pixels = np.kron(bunch.images, np.ones((1, 3, 3))) * (255 / 16)
    pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    return Samples(pixels[:, None], bunch.target.astype(np.int64))


def colour(side):
    """Square tiles of two photographs; the class is the photograph."""
    rows, classes, n = [], [], 384 // side
    for k, picture in enumerate((photographs.astronaut(), photographs.coffee())):
        tiles = picture[:384, :384].reshape(n, side, n, side, 3).transpose(0, 2, 4, 1, 3)
        rows.append(tiles.reshape(-1, 3, side, side))
        classes += [k] * n**2
    return Samples(np.concatenate(rows), np.array(classes, np.int64))


def waves(n_channels, n_classes, shortest, longest):
    """Sines, faster ones for higher classes, in as many lengths as there are rows."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(shortest, longest + 1, 8 * n_classes)
    classes = np.arange(len(lengths)) % n_classes
    rows = []
    for length, k in zip(lengths, classes, strict=True):
        phase = np.arange(length)[:, None] * (0.2 + 0.1 * k) + np.arange(n_channels)
        rows.append(np.sin(phase) + 0.1 * rng.normal(size=(length, n_channels)))
    return Samples(stack_series(rows), classes.astype(np.int64))


def sounds():
    """Waveforms [n, t] of several lengths."""
    found = waves(1, 10, 900, 2500)
    return Samples(0.3 * found.inputs[:, :, 0], found.classes)


def records():
    """Census records, one with a country that is in no list."""
    rows = [adult.encode_record(record.split(", ")) for record in RECORDS]
    return Samples(np.array(rows, np.float32), np.array([0, 1, 1, 0], np.int64))


def texts():
    """Ids of words, in as many lengths as there are rows, and grades."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 40, (300, 12)) * (np.arange(12) < rng.integers(3, 13, (300, 1)))
    return Samples(ids, rng.integers(0, 5, 300))


def rows_for(model):
    """Rows of the kind that a model of the table takes."""
    return _ROWS[model.data.title]()


_ROWS = {
    "MNIST": gray,
    "Fashion-MNIST": gray,
    "photos64": lambda: colour(64),
    "CIFAR-10": lambda: colour(32),
    "JapaneseVowels": lambda: waves(12, 9, 7, 29),
    "ECG200": lambda: waves(1, 2, 96, 96),
    "GunPoint": lambda: waves(1, 2, 150, 150),
    "Adult": records,
    "Free Spoken Digit Dataset": sounds,
    "SST-2": texts,
}
