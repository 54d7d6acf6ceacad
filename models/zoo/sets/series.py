"""Time series in the .ts format of the UEA and UCR archives: a row a line, channels by colons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from zoo.data import required
from zoo.sets.samples import Array, DataSet, Samples, stack_series


def read_ts(lines: Sequence[str], classes: Sequence[str]) -> Samples:
    """Parse the lines after @data: float32 [n, t, f], shorter series padded with zero steps.

    Args:
        lines: of the file.
        classes: the labels as they stand at the end of a row, in order.

    Raises:
        ValueError: a row whose channels have different lengths, or an unknown label.
    """
    index = {label: k for k, label in enumerate(classes)}
    rows: list[Array] = []
    found: list[int] = []
    start = lines.index("@data") + 1
    for number, line in enumerate(lines[start:], start=start + 1):
        *channels, label = line.split(":")
        values = [np.array(channel.split(","), np.float32) for channel in channels]
        if len({len(channel) for channel in values}) != 1:
            raise ValueError(f"line {number}: channels of lengths {[len(v) for v in values]}")
        if label not in index:
            raise ValueError(f"line {number}: label '{label}', expected one of {list(index)}")
        rows.append(np.stack(values, axis=1))
        found.append(index[label])
    return Samples(stack_series(rows), np.array(found, np.int64))


def load_ts(stem: str, classes: Sequence[str], root: Path, split: str) -> Samples:
    """Read `<stem>_TRAIN.ts` or `<stem>_TEST.ts`."""
    path = required(root, f"{stem}_{split.upper()}.ts")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return read_ts([line for line in lines if line and not line.startswith("#")], classes)


_SPEAKERS = tuple("123456789")

VOWELS = DataSet(
    title="JapaneseVowels",
    labels=tuple(f"speaker {k}" for k in _SPEAKERS),
    load=partial(load_ts, "ts_aeon/JapaneseVowels/JapaneseVowels", _SPEAKERS),
    facts=(
        "JapaneseVowels (UCI, UEA archive): two vowels by nine male speakers, 12 cepstrum "
        "coefficients a step, 7 to 29 steps; 270 training and 370 test series, as in the archive.",
    ),
    citation="Kudo, Toyama, Shimbo 1999: Multidimensional curve classification using "
    "passing-through regions, Pattern Recognition Letters 20.",
    licence="JapaneseVowels: CC BY 4.0 (UCI)",
)

_ARCHIVE = "Dau et al. 2018: The UCR Time Series Archive, arXiv:1810.07758."
_UCR_LICENCE = "UCR archive: free for research, cite"

ECG200 = DataSet(
    title="ECG200",
    labels=("myocardial infarction", "normal"),
    load=partial(load_ts, "ucr/ECG200/ECG200", ("-1", "1")),
    facts=(
        "ECG200 (UCR archive): one heartbeat a row, 96 steps, z-normalised; 100 training and 100 "
        "test rows, the archive's split.",
        "Olszewski 2001: Generalized feature extraction for structural pattern recognition in "
        "time-series data, thesis, Carnegie Mellon University.",
    ),
    citation=_ARCHIVE,
    licence=_UCR_LICENCE,
)

GUN_POINT = DataSet(
    title="GunPoint",
    labels=("gun", "point"),
    load=partial(load_ts, "ts_aeon/GunPoint/GunPoint", ("1", "2")),
    facts=(
        "GunPoint (UCR archive): height of a hand that draws a gun from a holster, or only points "
        "a finger, 150 steps, z-normalised; 50 training and 150 test rows, the archive's split.",
        "Ratanamahatana & Keogh 2005: Three myths about dynamic time warping data mining, SDM.",
    ),
    citation=_ARCHIVE,
    licence=_UCR_LICENCE,
)
