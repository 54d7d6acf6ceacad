"""A sheet to draw on: pixels, or the same as SVG. Lengths are pixels, y grows downwards."""

import io
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from candor.render.letters import lettering
from candor.render.shown import shown
from candor.result import Array

__all__ = ["PAPER", "Anchor", "Box", "Canvas", "Colour", "Raster", "Vector", "png"]

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

Anchor = Literal["la", "ma", "ra", "lm", "mm", "rm"]
"""Where of a text its point is: left, middle or right of it; at its top or in its middle."""

PAPER: Colour = (255, 255, 255)

_FINE = 2  # pixels of a raster are drawn in so many parts a side, which smooths slanted lines
_STOPS = 17


class Canvas(Protocol):
    """What drawings draw with."""

    title: str
    """What is drawn, for whoever cannot see it; a PNG and an SVG carry it along."""

    @property
    def width(self) -> int:
        """In pixels."""
        ...

    def box(self, box: Box, fill: Colour, line: Colour | None = None) -> None:
        """A filled rectangle, with a thin line round it if asked for."""
        ...

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """A line through points."""
        ...

    def text(
        self, at: tuple[float, float], text: str, size: float, colour: Colour, anchor: Anchor
    ) -> None:
        """One line of text."""
        ...

    def ramp(self, box: Box, colours: Array) -> None:
        """Colours, uint8 [n, 3], flowing into each other from left to right."""
        ...

    def encoded(self) -> bytes:
        """The sheet as a file."""
        ...


class Raster:
    """A canvas of pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.title = ""
        self._image = Image.new("RGB", (width * _FINE, height * _FINE), PAPER)
        self._pen = ImageDraw.Draw(self._image)

    def box(self, box: Box, fill: Colour, line: Colour | None = None) -> None:
        """A filled rectangle, with a thin line round it if asked for."""
        left, top, right, bottom = (round(edge * _FINE) for edge in box)
        if right > left and bottom > top:
            self._pen.rectangle([left, top, right - 1, bottom - 1], fill, line, _FINE)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """A line through points."""
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        self._pen.line(fine, colour, max(1, round(width * _FINE)), joint="curve")

    def text(
        self, at: tuple[float, float], text: str, size: float, colour: Colour, anchor: Anchor
    ) -> None:
        """One line of text."""
        fine = (at[0] * _FINE, at[1] * _FINE)
        text = shown(text)
        self._pen.text(fine, text, colour, lettering(size * _FINE, text), anchor)

    def ramp(self, box: Box, colours: Array) -> None:
        """Colours, uint8 [n, 3], flowing into each other from left to right."""
        left, top, right, bottom = (round(edge * _FINE) for edge in box)
        if right > left and bottom > top:
            strip = Image.fromarray(colours[None])
            self._image.paste(strip.resize((right - left, bottom - top)), (left, top))

    @property
    def image(self) -> Image.Image:
        """What was drawn."""
        return self._image.reduce(_FINE)

    def encoded(self) -> bytes:
        """A PNG file."""
        return png(self.image, self.title)


def png(image: Image.Image, title: str, level: int = 6) -> bytes:
    """A PNG file that says what it shows, under the keyword that PNG has for that.

    Args:
        image: to be written.
        title: what it shows.
        level: of compression, 0..9.
    """
    about = PngInfo()
    about.add_itxt("Description", shown(title))
    file = io.BytesIO()
    image.save(file, "png", compress_level=level, pnginfo=about)
    return file.getvalue()


class Vector:
    """A canvas that becomes an SVG file."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.title = ""
        self._parts: list[str] = []
        self._n_ramps = 0
        self.box((0, 0, width, height), PAPER)

    def box(self, box: Box, fill: Colour, line: Colour | None = None) -> None:
        """A filled rectangle, with a thin line round it if asked for."""
        left, top, right, bottom = box
        size = f'width="{_number(right - left)}" height="{_number(bottom - top)}"'
        edge = f' stroke="{_hex(line)}"' if line else ""
        place = f'x="{_number(left)}" y="{_number(top)}"'
        self._parts.append(f'<rect {place} {size} fill="{_hex(fill)}"{edge}/>')

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """A line through points."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        style = f'fill="none" stroke="{_hex(colour)}" stroke-width="{_number(width)}"'
        self._parts.append(f'<polyline points="{path}" {style} stroke-linejoin="round"/>')

    def text(
        self, at: tuple[float, float], text: str, size: float, colour: Colour, anchor: Anchor
    ) -> None:
        """One line of text."""
        down = 0.36 if anchor[1] == "m" else 0.9  # from the point to the line that letters stand on
        place = f'x="{_number(at[0])}" y="{_number(at[1] + down * size)}"'
        towards = {"l": "start", "m": "middle", "r": "end"}[anchor[0]]
        style = f'font-size="{_number(size)}" fill="{_hex(colour)}" text-anchor="{towards}"'
        self._parts.append(f"<text {place} {style}>{_written(text)}</text>")

    def ramp(self, box: Box, colours: Array) -> None:
        """Colours, uint8 [n, 3], flowing into each other from left to right."""
        name = f"ramp{self._n_ramps}"
        self._n_ramps += 1
        chosen = np.linspace(0, len(colours) - 1, _STOPS).round().astype(int)
        stops = "".join(
            f'<stop offset="{_number(at / (_STOPS - 1))}" stop-color="{_hex(colours[index])}"/>'
            for at, index in enumerate(chosen)
        )
        left, top, right, bottom = box
        size = f'width="{_number(right - left)}" height="{_number(bottom - top)}"'
        place = f'x="{_number(left)}" y="{_number(top)}"'
        self._parts.append(f'<linearGradient id="{name}">{stops}</linearGradient>')
        self._parts.append(f'<rect {place} {size} fill="url(#{name})"/>')

    def encoded(self) -> bytes:
        """An SVG file, UTF-8."""
        size = f'width="{self.width}" height="{self.height}"'
        seen = f'viewBox="0 0 {self.width} {self.height}" role="img"'
        name = "http://www.w3.org/2000/svg"
        head = f'<svg xmlns="{name}" {size} {seen} font-family="sans-serif">'
        title = f"<title>{_written(self.title)}</title>"
        return "\n".join([head, title, *self._parts, "</svg>", ""]).encode()


def _written(text: str) -> str:
    """As XML: it has no word for most control characters."""
    return escape("".join(letter if letter.isprintable() else " " for letter in shown(text)))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
