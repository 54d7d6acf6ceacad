"""Every model that the generic loop trains, by name."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.families import cifar, digits, photos, sentences, series, speech, tables
from zoo.model import Model

TABLE: Mapping[str, Model] = {
    **photos.MODELS,
    **digits.MODELS,
    **series.MODELS,
    **sentences.MODELS,
    **tables.MODELS,
    **speech.MODELS,
    **cifar.MODELS,
}
