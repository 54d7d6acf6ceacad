"""A sheet of drawings: under each heading panels side by side, each with its own title.

Nothing is scaled, so that the letters within the drawings keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from candor.render.letters import lettering, wrapped

_PAPER, _INK, _SOFT = (255, 255, 255), (30, 30, 30), (95, 95, 95)
_GAP = 20
_HEADING, _TITLE, _NOTE = 20, 15, 13
"""Heights of letters in pixels."""
_LEADING = 5


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing, its title, and a softer line on what its numbers are."""

    title: str
    note: str
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class Block:
    """Panels on one thing; the heading says what it is."""

    heading: str
    panels: Sequence[Panel]


def lay_out(blocks: Sequence[Block], *, columns: int, width: int) -> Image.Image:
    """Lay the blocks out one below the other, `columns` panels abreast, each `width` wide."""
    across = columns * (width + _GAP) + _GAP
    strips = [strip for block in blocks for strip in _strips(block, columns, width, across)]
    sheet = Image.new("RGB", (across, sum(strip.height for strip in strips) + _GAP), _PAPER)
    y = 0
    for strip in strips:
        sheet.paste(strip, (0, y))
        y += strip.height
    return sheet


def _strips(block: Block, columns: int, width: int, across: int) -> list[Image.Image]:
    lines = wrapped(block.heading, _HEADING, across - 2 * _GAP)
    heading = Image.new("RGB", (across, _GAP + len(lines) * (_HEADING + _LEADING)), _PAPER)
    for number, line in enumerate(lines):
        y = _GAP + number * (_HEADING + _LEADING)
        ImageDraw.Draw(heading).text((_GAP, y), line, _INK, lettering(_HEADING, line))
    panels = block.panels
    starts = range(0, len(panels), columns)
    return [heading, *(_strip(panels[start : start + columns], width, across) for start in starts)]


def _strip(panels: Sequence[Panel], width: int, across: int) -> Image.Image:
    notes = [wrapped(panel.note, _NOTE, width) for panel in panels]
    above = _LEADING + _TITLE + max(map(len, notes)) * (_NOTE + _LEADING) + 2 * _LEADING
    below = max(panel.picture.height for panel in panels)
    strip = Image.new("RGB", (across, above + below + _LEADING), _PAPER)
    pen = ImageDraw.Draw(strip)
    for place, (panel, lines) in enumerate(zip(panels, notes, strict=True)):
        x = _GAP + place * (width + _GAP)
        pen.text((x, _LEADING), panel.title, _INK, lettering(_TITLE))
        for number, line in enumerate(lines):
            y = _LEADING + _TITLE + _LEADING + number * (_NOTE + _LEADING)
            pen.text((x, y), line, _SOFT, lettering(_NOTE))
        strip.paste(panel.picture, (x, above))
    return strip
