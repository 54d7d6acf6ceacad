"""A sheet of drawings for each model: every row of it explained by every method that it has.

Rows of data sets appear as their maps alone, unless `private` is set: then with the rows
themselves, for eyes that have the data, never for the repository.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from candor.client import Answer, Client, Explanation, ModelInfo
from candor.render.bars import bars_picture
from candor.render.overlay import overlay
from candor.render.series import series_picture
from candor.render.sheet import Strip, contact_sheet
from candor.render.words import words_picture
from candor.result import Attribution, TextView
from zoo.page.measure import Measured
from zoo.page.rows import Split
from zoo.page.shown import Shown, shown_for
from zoo.sets.adult import COLUMNS

METHODS = ("cam", "grad_cam", "gradient", "integrated_gradients", "occlusion", "lime")
_FIRST = (0, 1)
"""Of the test split, beside the first that is wrong."""
_SIDE, _BARS = 260, 8
_WIDTHS = {"image": 220, "tokens": 560, "series": 420, "tabular": 420}


def draw(
    client: Client, model: ModelInfo, split: Split | None, measured: Measured, *, private: bool
) -> Image.Image | None:
    """Draw a model's sheet; None where there is nothing to draw.

    Args:
        client: of the running service.
        model: as it describes itself.
        split: its test split, or None where the data is not there.
        measured: whose `wrong` names the failures to show.
        private: draw rows of the data set itself.
    """
    methods = [method for method in METHODS if not model.methods.get(method, "unknown")]
    if not methods:
        return None
    rows = shown_for(model.id.name, model.labels)
    own = len(rows)
    if split is not None:
        first = _FIRST if private or not own or model.kind == "image" else ()
        wrong = measured.get("wrong", [])[:1] if private or model.kind != "tokens" else []
        rows += [_of_split(model, split, index) for index in dict.fromkeys((*first, *wrong))]
    strips = []
    for number, row in enumerate(rows):
        found = client.explain(model.id.name, methods, render=model.kind == "image", **row.rows)
        pictures = [
            _drawing(model, row, found, method, bare=number >= own and not private)
            for method in methods
        ]
        strips += _strips(_heading(row, found), methods, pictures, model.kind)
    return contact_sheet(strips, width=_WIDTHS[model.kind]) if strips else None


def _of_split(model: ModelInfo, split: Split, index: int) -> Shown:
    label = model.labels[int(split.classes[index])]
    return Shown(f"test row {index}, {label}", split.ask([index]), label)


def _heading(row: Shown, found: Explanation) -> str:
    top = found.prediction.rows[0].top[0]
    verdict = "" if not row.truth or row.truth == top.label else " (wrong)"
    return f"{row.what}: {top.label} {top.probability:.0%}{verdict}"


def _strips(
    heading: str, methods: Sequence[str], pictures: Sequence[Image.Image], kind: str
) -> list[Strip]:
    """Small pictures go side by side, wide ones two abreast."""
    if kind == "image":
        return [Strip(heading, ", ".join(methods), pictures)]
    pairs = [slice(start, start + 2) for start in range(0, len(methods), 2)]
    return [
        Strip("" if at.start else heading, ", ".join(methods[at]), pictures[at]) for at in pairs
    ]


def _drawing(
    model: ModelInfo, row: Shown, found: Explanation, method: str, *, bare: bool
) -> Image.Image:
    answer = found.of(method)
    attribution = Attribution(method, answer.values, answer.trust, answer.segments)
    view = found.prediction.rows[0].view
    if isinstance(view, TextView):
        return words_picture(str(row.rows["texts"][0]), view, attribution)
    if model.kind == "image":
        return _map(attribution) if bare else _enlarged(row, answer, attribution)
    (tensor,) = row.rows["tensors"].values()
    if model.kind == "series":
        return series_picture(attribution, None if bare else tensor[0], width=_WIDTHS["series"])
    names = row.names or COLUMNS
    match answer.trust.get("figures"):
        case {"conditions": list(conditions)} if row.names:  # else they would tell the row
            names = [str(condition) for condition in conditions]
    return bars_picture(attribution, names, width=_WIDTHS["tabular"], max_bars=_BARS)


def _map(attribution: Attribution) -> Image.Image:
    white = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    plain = Attribution(attribution.method, attribution.values, attribution.trust)
    return overlay(white, plain, None, opacity=1.0)


def _enlarged(row: Shown, answer: Answer, attribution: Attribution) -> Image.Image:
    """The service's own drawing; of a picture too small for its legend, one made larger."""
    picture = np.asarray(row.rows["images"][0])
    if min(picture.shape[:2]) >= _SIDE:
        return Image.open(io.BytesIO(answer.overlay_png)).convert("RGB")
    large = np.asarray(
        Image.fromarray(picture).convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    )
    return overlay(large, attribution, None)


def save(sheet: Image.Image, file: Path) -> None:
    """Write a sheet as a small PNG of at most 256 colours."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        file, optimize=True
    )
