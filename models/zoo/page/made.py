"""Rows that are made here: series of a plausible form, silhouettes of clothes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zoo.sets.samples import Array
from zoo.sets.speech import RATE

Waves = Sequence[tuple[float, float, float]]
"""Height, middle and width of each, of a whole that lasts from 0 to 1."""

_BEAT: Waves = ((0.3, 0.2, 0.04), (-0.35, 0.31, 0.015), (2.4, 0.36, 0.035), (-0.7, 0.43, 0.025),
                (0.9, 0.7, 0.08))  # fmt: skip
_FIRST_VOWEL = (1.3, -0.7, 0.5, -0.1, 0.1, -0.3, -0.1, -0.2, -0.1, -0.1, -0.1, 0.1)
_SECOND_VOWEL = (0.4, -0.3, 0.0, -0.5, 0.4, -0.1, -0.3, 0.1, -0.3, -0.2, 0.1, 0.1)
_SHIRT = ((9, 3), (12, 5), (16, 5), (19, 3), (26, 8), (23, 13), (20, 11), (20, 25), (8, 25),
          (8, 11), (5, 13), (2, 8))  # fmt: skip
_TROUSERS = ((9, 2), (19, 2), (21, 26), (16, 26), (14, 9), (12, 26), (7, 26))
_FINE, _CLOTH = 8, 200


def beat() -> Array:
    """A heartbeat of P wave, QRS complex and T wave, 96 steps: float32 [96, 1]."""
    time = np.linspace(0, 1, 96)
    waves = [high * np.exp(-0.5 * ((time - at) / wide) ** 2) for high, at, wide in _BEAT]
    return _normalised(np.sum(waves, axis=0))


def gesture() -> Array:
    """The height of a hand that is lifted, held and lowered, 150 steps: float32 [150, 1]."""
    time = np.linspace(0, 1, 150)
    return _normalised(_step(time, 0.3, 0.03) - _step(time, 0.72, 0.035))


def tones() -> Array:
    """Two gliding tones of eight partials around a pause, 0.6 s in all: float32 [4800]."""
    first, second = _tone(220, 160, 0.25), _tone(130, 180, 0.25)
    return np.concatenate([first, np.zeros(RATE // 10, np.float32), second])


def vowels() -> Array:
    """Twelve cepstra that glide from one vowel to another, 20 steps: float32 [20, 12]."""
    share = _step(np.linspace(0, 1, 20), 0.5, 0.1)[:, None]
    series = (1 - share) * np.array(_FIRST_VOWEL) + share * np.array(_SECOND_VOWEL)
    return np.asarray(series, np.float32)


def silhouettes() -> Mapping[str, NDArray[np.uint8]]:
    """Clothes on black by the class that they are, uint8 [28, 28] each."""
    return {"T-shirt": _filled(_SHIRT), "trouser": _filled(_TROUSERS)}


def _filled(corners: Sequence[tuple[float, float]]) -> NDArray[Any]:
    canvas = Image.new("L", (28 * _FINE, 28 * _FINE))
    ImageDraw.Draw(canvas).polygon([(x * _FINE, y * _FINE) for x, y in corners], _CLOTH)
    return np.asarray(canvas.resize((28, 28), Image.Resampling.BOX))


def _tone(start: float, end: float, seconds: float) -> Array:
    """A voice-like tone whose pitch glides, in hertz, and that swells and fades."""
    time = np.linspace(0, 1, round(seconds * RATE), endpoint=False)
    phase = 2 * np.pi * seconds * (start * time + (end - start) * time**2 / 2)
    partials = [np.sin(k * phase) / k for k in range(1, 9)]
    return np.asarray(0.2 * np.sin(np.pi * time) * np.sum(partials, axis=0), np.float32)


def _step(time: Array, at: float, wide: float) -> Array:
    return np.asarray(1 / (1 + np.exp((at - time) / wide)))


def _normalised(values: Array) -> Array:
    """Mean 0 and deviation 1, as the archives keep their series: [t] to float32 [t, 1]."""
    return np.asarray((values - values.mean()) / values.std(), np.float32)[:, None]
