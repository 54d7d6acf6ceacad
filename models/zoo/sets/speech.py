"""Free Spoken Digit Dataset: short recordings, 8 kHz, one digit each; file digit_speaker_take.wav.

The official test split are the takes 0 to 4 of each digit and speaker.
"""

from __future__ import annotations

import io
import tarfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data import required
from zoo.sets.pictures import DIGITS
from zoo.sets.samples import Array, DataSet, Samples, stack_series

RATE = 8000
SPEAKERS = ("george", "jackson", "lucas", "yweweler")
_TEST_TAKES = range(5)


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: samples -1..1 float32 [t], and what its name says."""

    samples: Array
    digit: int
    speaker: str
    take: int


def read_recordings(root: Path) -> list[Recording]:
    """Decode all recordings, in the order of their names."""
    found: list[Recording] = []
    with tarfile.open(required(root, "fsdd/fsdd_recordings.tar.gz")) as tar:
        for member in tar:
            handle = tar.extractfile(member) if member.name.endswith(".wav") else None
            if handle is not None:
                digit, speaker, take = Path(member.name).stem.split("_")
                samples = decode_wave(handle.read())
                found.append(Recording(samples, int(digit), speaker, int(take)))
    return sorted(found, key=lambda r: (r.digit, r.speaker, r.take))


def decode_wave(content: bytes) -> Array:
    """Return the samples of a mono 16-bit wave file at 8 kHz, float32 in -1..1.

    Raises:
        ValueError: another format.
    """
    with wave.open(io.BytesIO(content)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if form != (1, 2, RATE):
            raise ValueError(f"(channels, bytes, rate) are {form}, expected (1, 2, {RATE})")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype(np.float32) / 32768


def load_takes(root: Path, split: str) -> Samples:
    """Read the official split: float32 [n, t], padded with zeros."""
    test = split == "test"
    return to_samples([r for r in read_recordings(root) if (r.take in _TEST_TAKES) == test])


def to_samples(recordings: Sequence[Recording]) -> Samples:
    """Stack recordings of any lengths."""
    digits = np.array([r.digit for r in recordings], np.int64)
    return Samples(stack_series([r.samples for r in recordings]), digits)


SPOKEN_DIGITS = DataSet(
    title="Free Spoken Digit Dataset",
    labels=DIGITS,
    load=load_takes,
    facts=(
        "Free Spoken Digit Dataset: English digits, mono, 8 kHz, 0.14 to 1.3 s; this copy holds "
        "four of the six speakers, 2,000 recordings; 1,800 for training, 200 for the test (takes 0 "
        "to 4, the official split).",
    ),
    citation="Jackson et al. 2018: Free Spoken Digit Dataset, doi:10.5281/zenodo.1342401.",
    licence="Free Spoken Digit Dataset: CC BY-SA 4.0",
)
