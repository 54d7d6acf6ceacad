"""A sheet of drawings for each model: every row of it explained by every method that it has.

Rows of data sets appear as their maps alone, unless `private` is set: then with the rows
themselves, for eyes that have the data, never for the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from candor.client import Client, Explanation, ModelInfo
from candor.render.bars import bars_picture
from candor.render.overlay import overlay
from candor.render.series import series_picture
from candor.render.units import unit_of
from candor.render.words import words_picture
from candor.result import Attribution, ImageView, TextView
from zoo.page.layout import Block, Panel, lay_out
from zoo.page.maps import covering
from zoo.page.rows import Split
from zoo.page.shown import Shown, shown_for
from zoo.sets.adult import COLUMNS
from zoo.sets.samples import Array

METHODS = ("cam", "grad_cam", "gradient", "integrated_gradients", "occlusion", "lime")
_BARS = 8
_PLURAL = ("sunglasses",)
_SIDE, _WIDE = 280, 440
"""Widths of drawings: of a picture, three abreast, and of anything else, two abreast."""


def draw(
    client: Client, model: ModelInfo, split: Split, wrong: Sequence[int], *, private: bool
) -> Image.Image:
    """Draw a model's sheet.

    Args:
        client: of the running service.
        model: as it describes itself.
        split: the rows that it is tested on.
        wrong: of those, the first that it gets wrong.
        private: draw rows of the data set itself.
    """
    own = shown_for(model)
    blocks = [_block(client, model, row, bare=False) for row in own]
    if model.labels and (private or model.kind != "tokens"):  # words would tell the row
        first = () if model.kind == "tabular" and not private else _of_two_classes(split)
        rows = [_of_split(model, split, at) for at in dict.fromkeys((*first, *wrong[:1]))]
        blocks += [_block(client, model, row, bare=not private) for row in rows]
    wide = _SIDE if _is_picture(model) else _WIDE
    return lay_out(blocks, columns=3 if wide == _SIDE else 2, width=wide)


def _is_picture(model: ModelInfo) -> bool:
    """Whether a row is one; a model that is no classifier does not say of what kind it is."""
    return model.kind == "image" or not model.labels


def _of_two_classes(split: Split) -> list[int]:
    """The first row of the first class and of the one halfway down the list."""
    _, starts = np.unique(split.classes, return_index=True)
    return [int(starts[0]), int(starts[len(starts) // 2])]


def _of_split(model: ModelInfo, split: Split, index: int) -> Shown:
    label = model.labels[int(split.classes[index])]
    return Shown(f"test row {index}", split.ask([index]), label)


def _block(client: Client, model: ModelInfo, row: Shown, *, bare: bool) -> Block:
    if not model.labels:
        return _reconstructed(client, model, row)
    methods = [method for method in METHODS if model.methods[method] is None]
    asked: list[dict[str, dict[str, Any]]] = [
        {method: covering(model.id.name) if method == "occlusion" else {}} for method in methods
    ]
    found = client.explain(model.id.name, asked, explained="score", **row.rows)
    panels = []
    for method in methods:
        picture = _drawing(model, row, found, method, bare=bare)
        panels.append(Panel(method, unit_of(found.of(method).trust), picture))
    return Block(_heading(model, row, found), panels)


def _heading(model: ModelInfo, row: Shown, found: Explanation) -> str:
    top = found.prediction.rows[0].top[0]
    parts = [row.what] + ([_named(model, row.truth)] if row.truth else [])
    if row.truth != top.label:
        parts.append(f"taken for {_named(model, top.label)}")
    return f"{', '.join(parts)} ({top.probability:.0%})"


def _named(model: ModelInfo, label: str) -> str:
    """A thing in a picture has its article, where it is one thing."""
    if not _is_picture(model) or label in _PLURAL:
        return label
    return f"{'an' if label[0].lower() in 'aeio8' else 'a'} {label}"


def _reconstructed(client: Client, model: ModelInfo, row: Shown) -> Block:
    output = model.outputs[0][0]
    made = client.predict(model.id.name, outputs=[output], **row.rows).outputs[output][0, 0]
    sent = np.asarray(row.rows["images"][0])
    shades = np.rint(np.clip(made, 0, 1) * 255).astype(np.uint8)
    pictures = {"as sent": sent, "as reconstructed": shades}
    panels = [Panel(title, "", _enlarged(pixels)) for title, pixels in pictures.items()]
    return Block(f"{row.what}, {_named(model, row.truth)}", panels)


def _drawing(
    model: ModelInfo, row: Shown, found: Explanation, method: str, *, bare: bool
) -> Image.Image:
    answer = found.of(method)
    attribution = Attribution(method, answer.values, answer.trust, answer.segments)
    view = found.prediction.rows[0].view
    if isinstance(view, TextView):
        return words_picture(str(row.rows["texts"][0]), view, attribution, width=_WIDE)
    if isinstance(view, ImageView):
        return _map(attribution) if bare else _on_picture(row, attribution, view)
    (tensor,) = row.rows["tensors"].values()
    if model.kind == "series":
        return series_picture(attribution, None if bare else tensor[0], width=_WIDE)
    names = row.names or COLUMNS
    match answer.trust.get("figures"):
        case {"conditions": list(conditions)} if row.names:  # else they would tell the row
            names = [str(condition) for condition in conditions]
    return bars_picture(attribution, names, width=_WIDE, max_bars=_BARS)


def _map(attribution: Attribution) -> Image.Image:
    white = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    plain = Attribution(attribution.method, attribution.values, attribution.trust)
    return overlay(white, plain, None, opacity=1.0)


def _on_picture(row: Shown, attribution: Attribution, view: ImageView) -> Image.Image:
    picture = _enlarged(np.asarray(row.rows["images"][0]))
    return overlay(np.asarray(picture), attribution, view)


def _enlarged(pixels: Array) -> Image.Image:
    """The picture as wide as a panel: a small one by squares, a large one smoothly."""
    picture = Image.fromarray(pixels).convert("RGB")
    height = round(_SIDE * picture.height / picture.width)
    small = picture.width < _SIDE
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return picture.resize((_SIDE, height), how)


def save(sheet: Image.Image, folder: Path, model: ModelInfo) -> Path:
    """Write a sheet: of pictures as JPEG, of letters and flat colours as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{model.id.name}{'.jpg' if _is_picture(model) else '.png'}"
    if file.suffix == ".jpg":
        sheet.save(file, quality=85, optimize=True, progressive=True)
    else:
        sheet.save(file, optimize=True)
    return file
