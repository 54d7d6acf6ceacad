"""Bytes that go to Redis and come back as if a stranger had written them: framed, keyed, bounded.

    magic 4 bytes | schema u16 | reserved u16 | body length u32 | MAC 16 bytes | body (zstd)

The MAC (keyed BLAKE3) covers the key under which they are stored, everything before it and the
body, so that a value is worth nothing under another key or secret. No input to `unseal` raises.
"""

import hmac
import struct
from dataclasses import dataclass
from typing import Final

import zstandard
from blake3 import blake3

__all__ = ["MAX_BODY_BYTES", "Malformed", "mac", "seal", "unseal"]

MAX_BODY_BYTES: Final = 64 << 20
"""Decompressed; nothing larger is written, and nothing that claims to be is decompressed."""

_HEAD: Final = struct.Struct("<4sHHI")
_MAC_BYTES: Final = 16
_LEVEL: Final = 1
"""zstd level: maps are noise to a compressor; higher levels cost milliseconds for a few percent."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are not what should stand under their key.

    Attributes:
        reason: `truncated`, `foreign` (magic), `schema`, `forged` (MAC), `too_large`, `damaged`.
    """

    reason: str


def seal(plain: bytes, kind: tuple[bytes, int], key: str, secret: bytes) -> bytes | None:
    """Frame a body; None where it is too large.

    Args:
        plain: the body.
        kind: magic, four bytes, and schema.
        key: under which it will be stored.
        secret: 32 bytes.
    """
    if len(plain) > MAX_BODY_BYTES:
        return None
    body = zstandard.ZstdCompressor(level=_LEVEL).compress(plain)
    head = _HEAD.pack(*kind, 0, len(plain))
    return head + mac(key, head, body, secret) + body


def unseal(data: bytes, kind: tuple[bytes, int], key: str, secret: bytes) -> bytes | Malformed:
    """The body of what was found under a key; never raises, whatever the bytes are."""
    if len(data) < _HEAD.size + _MAC_BYTES:
        return Malformed("truncated")
    magic, schema, _, length = _HEAD.unpack_from(data)
    if magic != kind[0]:
        return Malformed("foreign")
    if schema != kind[1]:
        return Malformed("schema")
    head, body = data[: _HEAD.size], data[_HEAD.size + _MAC_BYTES :]
    found = data[_HEAD.size : _HEAD.size + _MAC_BYTES]
    if not hmac.compare_digest(found, mac(key, head, body, secret)):
        return Malformed("forged")
    return _decompress(body, length)


def mac(key: str, head: bytes, body: bytes, secret: bytes) -> bytes:
    """What proves that someone who knows the secret wrote this under this key."""
    hasher = blake3(key=secret)
    for part in (key.encode(), head, body):
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return bytes(hasher.digest(length=_MAC_BYTES))


def _decompress(body: bytes, length: int) -> bytes | Malformed:
    # The frame states its size; zstandard would allocate that much before looking at the data, so
    # the statement is compared with the bound first.
    try:
        frame = zstandard.get_frame_parameters(body)
        if max(length, frame.content_size, frame.window_size) > MAX_BODY_BYTES:
            return Malformed("too_large")
        if frame.content_size != length:
            return Malformed("damaged")
        reader = zstandard.ZstdDecompressor()
        plain = reader.decompress(body, max_output_size=length, allow_extra_data=False)
    except (zstandard.ZstdError, ValueError, MemoryError):
        return Malformed("damaged")
    return plain if len(plain) == length else Malformed("damaged")
