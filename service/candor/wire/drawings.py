"""Drawings that go with the answers: maps on pictures, words in colours, curves, bars."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from candor.engine.request import Answer, Explanation
from candor.errors import InvalidOption
from candor.explain.tabular import record_names
from candor.render.bars import draw_bars
from candor.render.canvas import Raster, Vector
from candor.render.overlay import overlay_png
from candor.render.series import draw_series
from candor.render.words import words_png
from candor.render.words_html import words_html
from candor.result import (
    Array,
    Attribution,
    Geometry,
    Images,
    ImageView,
    Kind,
    Payload,
    Tensors,
    Texts,
    TextView,
    View,
)
from candor.runtime.model import Model
from candor.v1 import explanation_pb2 as pb
from candor.wire.captions import caption
from candor.wire.responses import Drawings, Drawn, places

__all__ = ["Wish", "draw_answers", "wish_of"]

_PNG, _SVG, _HTML = "image/png", "image/svg+xml", "text/html"

_MEDIA_TYPES: Mapping[int, str] = MappingProxyType(
    {
        pb.DRAWING_FORMAT_PNG: _PNG,
        pb.DRAWING_FORMAT_SVG: _SVG,
        pb.DRAWING_FORMAT_HTML: _HTML,
    }
)
_BARS_WIDTH = 560
_DRAWN_OF_TENSORS = frozenset({"series", "tabular"})
"""Kinds of which a tensor shows what was sent."""
_LEAST_WIDTH = 200
"""Of a drawing of a picture: a legend can be read from here on."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be drawn, checked.

    Attributes:
        model: whose answers.
        output: which of its outputs is explained; None for the default one.
        kind: what a row is; of several inputs each map is drawn as its input, if that can be.
        media_type: of the files.
        opacity: of the map over a picture.
    """

    model: Model
    output: str | None
    kind: Kind
    media_type: str
    opacity: float


@dataclass(frozen=True, slots=True)
class _Row:
    """One row as it was sent (a file, a text, an array), and how the model sees it."""

    sent: Any
    view: View | None
    geometry: Geometry
    opacity: float


def wish_of(request: pb.ExplainRequest, model: Model) -> Wish | None:
    """What a request asks to be drawn; None where it does not.

    Raises:
        InvalidOption: opacity out of range, rows that there is nothing to draw on, or a format that
            such rows are not drawn in.
    """
    if not request.HasField("render"):
        return None
    kind = _kind_of(request.input.WhichOneof("rows"), model.kind)
    if kind == "several" and _DRAWN_OF_TENSORS.isdisjoint(
        model.geometry(name).kind for name in model.explained_inputs
    ):
        raise InvalidOption("render draws series and records, and no input of the model is such")
    opacity = request.render.opacity if request.render.HasField("opacity") else 0.5
    if not 0 <= opacity <= 1:
        raise InvalidOption(f"render.opacity is {opacity}; expected a number from 0 to 1")
    known = _DRAWERS["series" if kind == "several" else kind]  # which records are drawn in too
    media_type = _MEDIA_TYPES.get(request.render.format, next(iter(known)))
    if media_type not in known or request.render.format not in (0, *_MEDIA_TYPES):
        raise InvalidOption(
            f"render.format is {request.render.format}, but {kind} input is drawn as "
            f"{' or '.join(known)}"
        )
    return Wish(model, request.output or None, kind, media_type, opacity)


def _kind_of(form: str | None, kind: str) -> Kind:
    match form, kind:
        case "images", _:
            return "image"
        case "texts", _:
            return "tokens"
        case "tensors", "series":
            return "series"
        case "tensors", "tabular":
            return "tabular"
        case "tensors", "several":
            return "several"
        case _:
            raise InvalidOption(
                f"render draws on what was sent, and on {kind or 'such'} tensors nothing can be "
                "seen; send input.images or input.texts"
            )


async def draw_answers(explanation: Explanation, payload: Payload, wish: Wish | None) -> Drawings:
    """Draw every explanation, off the event loop; nothing where nothing is wished for."""
    if wish is None:
        return {}
    views = explanation.prediction.views

    def draw(at: int, answer: Answer) -> Drawn | None:
        own = answer.attribution.input
        geometry = wish.model.geometry(own, wish.output)
        kind = geometry.kind if wish.kind == "several" else wish.kind
        if own and kind not in _DRAWN_OF_TENSORS:
            return None
        sent = _sent(payload, own or wish.model.input_name, at)
        row = _Row(sent, views[at], geometry, wish.opacity)
        said = caption(answer.attribution.trust, explanation.labels)
        content = _DRAWERS[kind][wish.media_type](answer.attribution, row, said)
        return Drawn(wish.media_type, content, on_picture=kind == "image")

    drawn = {
        place: await asyncio.to_thread(draw, place[1], answer)
        for place, answer in places(explanation)
        if not answer.not_explained
    }
    return {place: one for place, one in drawn.items() if one is not None}


def _sent(payload: Payload, name: str, at: int) -> bytes | str | Array:
    match payload:
        case Images(encoded):
            return encoded[at]
        case Texts(texts):
            return texts[at]
        case Tensors(by_name):
            return np.asarray(by_name[name][at])


# One for each kind of row and media type: (attribution, row, caption) -> file ---------------------

_Drawer = Callable[[Attribution, _Row, str], bytes]


def _on_picture(attribution: Attribution, row: _Row, said: str) -> bytes:
    view = row.view if isinstance(row.view, ImageView) else None
    return overlay_png(
        row.sent,
        attribution,
        view,
        opacity=row.opacity,
        caption=said,
        least_width=_LEAST_WIDTH,
    )


def _as_page(attribution: Attribution, row: _Row, said: str) -> bytes:
    return words_html(row.sent, _tokens(row), attribution, caption=said)


def _as_words(attribution: Attribution, row: _Row, said: str) -> bytes:
    return words_png(row.sent, _tokens(row), attribution, caption=said)


def _tokens(row: _Row) -> TextView:
    return row.view if isinstance(row.view, TextView) else TextView((), (), ())


def _over_time(
    canvas: type[Raster | Vector], attribution: Attribution, row: _Row, said: str
) -> bytes:
    axis, values, series = row.geometry.channel_axis, attribution.values, row.sent
    if axis is not None:
        series = np.moveaxis(series, axis, -1)
        values = values if values.ndim == 1 else np.moveaxis(values, axis, -1)
    turned = Attribution(attribution.method, values, attribution.trust)
    names = row.geometry.features
    return draw_series(canvas, turned, series, names=names, caption=said).encoded()


def _features(
    canvas: type[Raster | Vector], attribution: Attribution, row: _Row, said: str
) -> bytes:
    geometry = row.geometry
    names = record_names(geometry.columns, geometry.features, row.sent)
    match attribution.trust.get("figures"):
        case {"conditions": list(told)} if len(told) == len(names):
            names = [str(condition) for condition in told]
    return draw_bars(canvas, attribution, names, width=_BARS_WIDTH, caption=said).encoded()


_DRAWERS: Mapping[Kind, Mapping[str, _Drawer]] = MappingProxyType(
    {
        "image": {_PNG: _on_picture},
        "tokens": {_HTML: _as_page, _PNG: _as_words},
        "series": {_PNG: partial(_over_time, Raster), _SVG: partial(_over_time, Vector)},
        "tabular": {_PNG: partial(_features, Raster), _SVG: partial(_features, Vector)},
    }
)
"""The first of each kind is what it is drawn in where the request does not say."""
