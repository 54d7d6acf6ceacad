"""Decode JPEG, PNG and WebP pictures, whoever sent them, and cut them to a model's size.

Invariants: nothing is decoded before the size in the header is within the limit; whatever the bytes
are, only `InvalidInput` and `TooLarge` come out.
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, TypeAlias

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from candor.errors import InvalidInput, TooLarge
from candor.result import ImageView
from candor.runtime.inputs import Resize

__all__ = ["MAX_IMAGE_PIXELS", "count_pixels", "decode", "fit"]

MAX_IMAGE_PIXELS = 64_000_000

_Opener: TypeAlias = Callable[[BytesIO], ImageFile.ImageFile]

# The plugins' own classes instead of Image.open: only these formats, chosen by their first bytes,
# and without Pillow's process-wide pixel limit (a warning, then an error without width and height).
_FORMATS: tuple[tuple[str, re.Pattern[bytes], _Opener], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
)

# Pillow promises no common class. OSError, SyntaxError and ValueError were met in 50 000 pictures
# broken at random; the others are what its own code guards against, and what C code can raise.
_UNDECODABLE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)

_EXIF_ORIENTATION = 0x0112
_UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def count_pixels(encoded: bytes, row: int, max_pixels: int = MAX_IMAGE_PIXELS) -> int:
    """Read width times height off a picture's header; arguments and errors as of `decode`."""
    width, height = _open(encoded, row, max_pixels)[1].size
    return width * height


def decode(encoded: bytes, row: int, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Decode one picture to upright 8-bit RGB.

    Transparency is laid on white, 16 bits keep the upper 8, CMYK and palettes become RGB, colour
    profiles are ignored; of an animation, the first frame counts.

    Args:
        encoded: the file's bytes.
        row: which row of the request it is, for messages.
        max_pixels: width times height that may be decoded.

    Raises:
        InvalidInput: not a picture in one of the formats, or a broken one.
        TooLarge: more pixels than allowed, by the header.
    """
    name, picture = _open(encoded, row, max_pixels)
    width, height = picture.size
    try:
        picture.load()
        rgb = _to_rgb(picture)
    except _UNDECODABLE as error:
        raise InvalidInput(
            f"row {row}: the {name} picture of {width} x {height} pixels in {len(encoded)} bytes "
            f"is broken or cut short: {error}"
        ) from error
    turn = _UPRIGHT.get(_orientation(picture))
    return rgb if turn is None else rgb.transpose(turn)


def fit(
    picture: Image.Image, size: tuple[int, int], resize: Resize
) -> tuple[Image.Image, ImageView]:
    """Resize to height and width, and tell which part of the picture is in it.

    Bilinear; a picture that shrinks is averaged over all of its pixels (Pillow's antialiasing).
    """
    fitted, box = _POLICIES[resize](picture, size)
    return fitted, ImageView(picture.width, picture.height, box)


_Box = tuple[float, float, float, float]


def _crop(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, _Box]:
    box = crop_box(picture.size, size)
    return _resized(picture, size, box), box


def _stretch(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, _Box]:
    box = (0.0, 0.0, float(picture.width), float(picture.height))
    return _resized(picture, size, box), box


def _pad(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, _Box]:
    inner, left, top = pad_inner(picture.size, size)
    canvas = Image.new(picture.mode, (size[1], size[0]))
    canvas.paste(picture.resize(inner, Image.Resampling.BILINEAR), (left, top))
    across, down = picture.width / inner[0], picture.height / inner[1]
    box = (-left * across, -top * down, (size[1] - left) * across, (size[0] - top) * down)
    return canvas, box


_POLICIES: Mapping[Resize, Callable[[Image.Image, tuple[int, int]], tuple[Image.Image, _Box]]] = {
    "crop": _crop,
    "stretch": _stretch,
    "pad": _pad,
}


def crop_box(picture: tuple[int, int], size: tuple[int, int]) -> _Box:
    """Find the largest centred box with the shape of `size`.

    Args:
        picture: width and height.
        size: height and width, as the model has them.
    """
    width, height = picture
    scale = min(width / size[1], height / size[0])
    # never past the edge by rounding: Pillow refuses such a box
    across, down = min(scale * size[1], width), min(scale * size[0], height)
    left, top = (width - across) / 2, (height - down) / 2
    return (left, top, min(left + across, width), min(top + down, height))


def pad_inner(picture: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
    """Find the size (width, height) of the whole picture within `size`, and its left and top."""
    scale = min(size[1] / picture[0], size[0] / picture[1])
    width = min(max(round(picture[0] * scale), 1), size[1])
    height = min(max(round(picture[1] * scale), 1), size[0])
    return (width, height), (size[1] - width) // 2, (size[0] - height) // 2


def _resized(picture: Image.Image, size: tuple[int, int], box: _Box) -> Image.Image:
    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)


def _open(encoded: bytes, row: int, max_pixels: int) -> tuple[str, ImageFile.ImageFile]:
    """Read the header only."""
    name, opener = next(
        ((name, opener) for name, start, opener in _FORMATS if start.match(encoded)), ("", None)
    )
    if opener is None:
        found = f"begins with {encoded[:16]!r}" if encoded else "is empty"
        raise InvalidInput(
            f"row {row}: not a picture: what was sent ({len(encoded)} bytes) {found}; "
            "JPEG, PNG and WebP are understood"
        )
    if name == "WebP":
        # its plugin has the process-wide limit built in, so that its header is read here before
        _check_pixels(name, webp_size(encoded), row, max_pixels)
    try:
        picture = opener(BytesIO(encoded))
    except _UNDECODABLE as error:
        raise InvalidInput(
            f"row {row}: {len(encoded)} bytes begin like a {name} picture, but do not go on like "
            f"one: {error}"
        ) from error
    _check_pixels(name, picture.size, row, max_pixels)
    return name, picture


def _check_pixels(name: str, size: tuple[int, int], row: int, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooLarge(
            f"row {row}: the {name} picture has {width} x {height} = {width * height} pixels, "
            f"the limit is {max_pixels}"
        )


def webp_size(encoded: bytes) -> tuple[int, int]:
    """Read width and height from a WebP header; (0, 0) where there is none.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    kind, head = encoded[12:16], encoded[20:30]
    if len(head) < 10:
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    sides = struct.unpack_from("<HH", head, 6)
    return sides[0] & 0x3FFF, sides[1] & 0x3FFF


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # 16-bit gray; Pillow's own conversion would clip everything above 255 to white
        picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode == "P" and picture.palette is None:
        # A PNG may leave it out, and Pillow does not look before it is used.
        raise ValueError("its colours are of a palette, and it has none")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    # pasting needs a third of the memory of Image.alpha_composite
    white = Image.new("RGB", layer.size, (255, 255, 255))
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def _orientation(picture: Image.Image) -> Any:
    """Read how the camera was held; a picture with unreadable EXIF data counts as upright."""
    try:
        return picture.getexif().get(_EXIF_ORIENTATION)
    except _UNDECODABLE:
        return None
