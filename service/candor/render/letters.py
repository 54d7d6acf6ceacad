"""Typefaces: Pillow's own, and for letters that it lacks one that is installed.

Pillow's own face knows little beyond ASCII, and is always there. A letter that no face has is
drawn as a box.
"""

from bisect import bisect_left
from functools import lru_cache

from PIL import ImageFont

from candor.render.shown import shown

__all__ = ["fitted", "lettering", "wrapped"]

_FACES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
)
"""Looked for where the system keeps its typefaces, in this order."""

Face = ImageFont.FreeTypeFont | ImageFont.ImageFont


def lettering(size: float, text: str = "") -> Face:
    """The first typeface that has all letters of a text, or most of them, `size` pixels high."""
    if text.isascii():
        return _face("", size)
    letters = sorted(set(text))
    lacks = {name: sum(not _has(name, letter) for letter in letters) for name in _installed()}
    return _face(min(lacks, key=lambda name: lacks[name]), size)


def fitted(text: str, size: float, width: float) -> str:
    """The text, cut with an ellipsis where it would be wider than `width` pixels."""
    text = shown(text)
    font = lettering(size, text)
    if font.getlength(text) <= width:
        return text
    # of how many letters it becomes too wide; with none of them it is what it is
    most = min(len(text), 4 * int(width) + 1)
    lengths = range(1, most + 1)
    n = bisect_left(lengths, width, key=lambda n: font.getlength(text[:n] + "…"))
    return text[:n] + "…"


def wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken at spaces; a long word is cut."""
    lines: list[str] = []
    for word in shown(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and lettering(size, longer).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fitted(line, size, width) for line in lines]


@lru_cache(maxsize=256)
def _face(name: str, size: float) -> Face:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    """Names of the typefaces that there are; Pillow's own is the empty one."""
    found = [""]
    for name in _FACES:
        try:
            ImageFont.truetype(name, 12)
        except OSError:
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=4096)
def _has(name: str, letter: str) -> bool:
    """Whether a typeface draws a letter otherwise than one that nobody has."""
    face = _face(name, 16)
    unknown = face.getmask("\U0010ffff")
    drawn = face.getmask(letter)
    return letter.isspace() or drawn.size != unknown.size or bytes(drawn) != bytes(unknown)
