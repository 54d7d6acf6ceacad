"""Weights of words and features, drawn in a terminal: a sentence in colours, bars for each.

Invariant: what the colours say, the bars and numbers say too; nothing is lost without colour.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.color import Color
from rich.style import Style
from rich.table import Table
from rich.text import Text

from candor.render.scale import Scale, scale_of, style_of
from candor.render.shown import shown
from candor.result import Array, TextView

__all__ = ["coloured_text", "feature_table", "token_table"]

_HALF = 10  # cells of a bar on each side of zero
_DARK, _LIGHT = Color.from_rgb(20, 20, 20), Color.from_rgb(245, 245, 245)
_FOR, _AGAINST = Style(color="#d0402b"), Style(color="#3f6fe0")


def coloured_text(text: str, view: TextView, method: str, values: Array) -> Text:
    """The text as it was sent, each token on the colour of its value; float [t]."""
    scale = scale_of(values, style_of(method), on_paper=True)
    drawn = Text(shown(text))
    for (start, end), value in zip(view.offsets, values, strict=False):
        drawn.stylize(_paint(scale, float(value)), start, end)
    return drawn


def token_table(
    tokens: Sequence[str],
    known: Sequence[bool],
    values: Mapping[str, Array],
    *,
    max_rows: int = 40,
) -> Table:
    """A row for each token, a bar and a number for each method.

    Args:
        tokens: as the model saw them.
        known: whether the vocabulary holds each; the others are marked.
        values: float [t] by method.
        max_rows: the tokens with the largest values are shown where there are more.
    """
    rows = sorted(_strongest(len(tokens), list(values.values()))[:max_rows])
    pairs = zip(tokens, known, strict=True)
    names = [token + ("" if is_known else " (unknown)") for token, is_known in pairs]
    return _bar_table("token", names, rows, values)


def feature_table(
    names: Sequence[str], values: Mapping[str, Array], *, max_rows: int = 20
) -> Table:
    """As `token_table` for the features of a record, those with the largest values first."""
    rows = _strongest(len(names), list(values.values()))[:max_rows]
    return _bar_table("feature", names, rows, values)


def _bar_table(
    heading: str, names: Sequence[str], rows: Sequence[int], values: Mapping[str, Array]
) -> Table:
    scales = {method: scale_of(of, style_of(method)) for method, of in values.items()}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(heading, justify="right", no_wrap=True, max_width=36)
    for method, scale in scales.items():
        table.add_column(method, min_width=2 * _HALF + 1 if scale.signed else _HALF, no_wrap=True)
        table.add_column("", justify="right")
    for row in rows:
        cells: list[Text] = [Text(shown(names[row]))]
        for method, scale in scales.items():
            value = float(values[method][row]) or 0.0  # and not -0
            cells += [_bar(scale, value), Text(f"{value:+.3g}" if scale.signed else f"{value:.3g}")]
        table.add_row(*cells)
    if len(rows) < len(names):
        table.caption = f"{len(rows)} of {len(names)} {heading}s, those with the largest values"
    return table


def _strongest(n: int, values: list[Array]) -> list[int]:
    """Places in the order of their largest share of any method's values."""
    shares = [np.abs(of[:n]) / (np.abs(of).max() or 1.0) for of in values]
    return [int(place) for place in np.argsort(-np.max(shares, axis=0), kind="stable")]


def _bar(scale: Scale, value: float) -> Text:
    length = round(float(scale.strength(np.asarray(value))) * _HALF)
    if not scale.signed:
        return Text("█" * length, _FOR)
    left = "█" * length if value < 0 else ""
    right = "█" * length if value >= 0 else ""
    return Text.assemble((f"{left:>{_HALF}}", _AGAINST), "│", (f"{right:<{_HALF}}", _FOR))


def _paint(scale: Scale, value: float) -> Style:
    """The background of a word: neutral at zero, magnitudes as reddish as what speaks for."""
    red, green, blue = (int(part) for part in scale.colours(np.asarray(value)))
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 110
    return Style(color=_DARK if light else _LIGHT, bgcolor=Color.from_rgb(red, green, blue))
