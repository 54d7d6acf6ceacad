"""Pictures as the server wants them: encoded. Files go as they are, arrays as PNG."""

import os
import struct
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np

from candor.errors import InvalidInput
from candor.result import Array

__all__ = ["Picture", "encoded_picture", "png"]

Picture: TypeAlias = str | os.PathLike[str] | bytes | Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG's colour types by the number of channels.
_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}


def encoded_picture(picture: Picture) -> bytes:
    """A picture's file: read from a path, taken as bytes, or made from pixels.

    Raises:
        InvalidInput: an array that is no picture.
        OSError: a file that cannot be read.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, np.ndarray):
        return png(picture)
    return Path(picture).read_bytes()


def png(pixels: Array) -> bytes:
    """Encode uint8 pixels, [h, w] or [h, w, c] with 1 to 4 channels, without loss.

    Raises:
        InvalidInput: another element type or shape.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in _COLOUR:
        raise InvalidInput(
            f"an array of {pixels.dtype} {list(pixels.shape)} is no picture; expected uint8 [h, w] "
            "or [h, w, c] with 1 to 4 channels"
        )
    height, width = pixels.shape[:2]
    if not height or not width:
        raise InvalidInput(f"a picture of {width} x {height} pixels is empty")
    # Each line begins with the number of its filter; 0 is none.
    lines = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR[channels], 0, 0, 0)
    body = zlib.compress(lines.tobytes(), level=1)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)
