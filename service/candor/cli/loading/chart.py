"""Line charts as SVG, for the report: no script, no font, nothing to fetch."""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from candor.result import Array

__all__ = ["Axis", "Line", "chart"]

_WIDTH, _HEIGHT = 560, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 26, 60, 44
# Okabe and Ito's colours, told apart by everyone.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


class Axis(NamedTuple):
    """An axis: what it says, and (place, text) of each tick; the ends are ticks too."""

    label: str
    ticks: Sequence[tuple[float, str]]


class Line(NamedTuple):
    """One line; where y is nan the line is broken."""

    name: str
    x: Array
    y: Array


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Draw lines over two axes, which must hold all of their points."""
    across = _scale(x, _LEFT, _WIDTH - _RIGHT)
    up = _scale(y, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        _text(_LEFT, 16, title, "start", "600 13px"),
        *(
            f'<path d="M{_LEFT} {up(at):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            + _text(_LEFT - 6, up(at) + 4, text, "end")
            for at, text in y.ticks
        ),
        *(_text(across(at), _HEIGHT - _BOTTOM + 16, text, "middle") for at, text in x.ticks),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x.label, "middle"),
        f'<g transform="rotate(-90)">{_text(-(_TOP + _HEIGHT - _BOTTOM) / 2, 13, y.label)}</g>',
    ]
    for index, line in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        for piece in _pieces(line):
            points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in piece)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
            )
        place = _LEFT + 158 * (index % 3), 34 + 14 * (index // 3)
        parts.append(_text(*place, line.name, "start", "11px", colour))
    return "\n".join([*parts, "</svg>"])


def _scale(axis: Axis, start: float, end: float) -> Callable[[float], float]:
    low, high = axis.ticks[0][0], axis.ticks[-1][0]
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _pieces(line: Line) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x, line.y, strict=True):
        if np.isfinite(y):
            pieces[-1].append((float(x), float(y)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _text(
    x: float, y: float, text: str, anchor: str = "middle", font: str = "11px", fill: str = "#333"
) -> str:
    style = f'text-anchor="{anchor}" style="font:{font} sans-serif" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
