"""One cached answer as bytes: self-describing, checked, and read as if a stranger had written it.

    magic "CNDR" | schema u16 | reserved u16 | body length u32 | MAC 16 bytes | body (zstd)
    body, decompressed: header length u32 | header (JSON) | the arrays' bytes, one after another

The MAC (keyed BLAKE3) covers the cache key, everything before it and the body, so that an entry is
worth nothing under another key or secret. No input to `decode` raises: what is not an entry is a
`Malformed`, which the cache takes for a miss.
"""

import hmac
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zstandard
from blake3 import blake3

from candor.engine.digest import SCHEMA
from candor.result import Array, Attribution, Json, Scores

__all__ = ["MAX_BODY_BYTES", "Entry", "Malformed", "decode", "encode", "entry_bytes"]

MAX_BODY_BYTES: Final = 64 << 20
"""Decompressed; nothing larger is written, and nothing that claims to be is decompressed."""

_MAGIC: Final = b"CNDR"
_HEAD: Final = struct.Struct("<4sHHI")
_MAC_BYTES: Final = 16
_LEVEL: Final = 1
"""zstd level: maps are noise to a compressor; higher levels cost milliseconds for a few percent."""
_DTYPES: Final = frozenset(
    ["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]
)
_MAX_DIMENSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One row's answer, and what the model said of that row, so that a hit needs no model.

    Attributes:
        attribution: values and trust record.
        outputs: the model's own outputs for this row, each [1, ...].
        scores: of this row, [1, k]; None where the model is no classifier.
    """

    attribution: Attribution
    outputs: Mapping[str, Array]
    scores: Scores | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no entry for the key they were found under.

    Attributes:
        reason: `truncated`, `foreign` (magic), `schema`, `forged` (MAC), `too_large`, `damaged`.
    """

    reason: str


def encode(entry: Entry, key: str, secret: bytes) -> bytes | None:
    """Write an entry; None where it cannot be (too large, NaN in the trust record, odd dtypes)."""
    arrays, blobs = _describe(entry)
    if arrays is None:
        return None
    attribution = entry.attribution
    try:
        header = json.dumps(
            {"method": attribution.method, "trust": dict(attribution.trust), "arrays": arrays},
            allow_nan=False,
        ).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    plain = b"".join([len(header).to_bytes(4, "little"), header, *blobs])
    if len(plain) > MAX_BODY_BYTES:
        return None
    body = zstandard.ZstdCompressor(level=_LEVEL).compress(plain)
    head = _HEAD.pack(_MAGIC, SCHEMA, 0, len(plain))
    return head + _mac(key, head, body, secret) + body


def decode(data: bytes, key: str, secret: bytes) -> Entry | Malformed:
    """Read what was found under a key; never raises, whatever the bytes are."""
    body = _open(data, key, secret)
    plain = body if isinstance(body, Malformed) else _decompress(*body)
    if isinstance(plain, Malformed):
        return plain
    try:
        return _parse(plain)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return Malformed("damaged")


def entry_bytes(entry: Entry) -> int:
    """Roughly what an entry takes in memory."""
    arrays = sum(array.nbytes for _, array in _arrays(entry))
    return arrays + _json_bytes(dict(entry.attribution.trust)) + 1024


# Writing -----------------------------------------------------------------------------------------


def _arrays(entry: Entry) -> list[tuple[list[str], Array]]:
    """Every array with its place: a list of names, so that no name of an output can collide."""
    attribution, scores = entry.attribution, entry.scores
    placed: list[tuple[list[str], Array]] = [(["values"], attribution.values)]
    if attribution.segments is not None:
        placed.append((["segments"], attribution.segments))
    if scores is not None:
        placed += [(["score"], scores.score), (["probability"], scores.probability)]
    return placed + [(["output", name], array) for name, array in entry.outputs.items()]


def _describe(entry: Entry) -> tuple[list[Json] | None, list[bytes]]:
    described: list[Json] = []
    blobs: list[bytes] = []
    for place, array in _arrays(entry):
        if array.dtype.str not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
            return None, []
        described.append([list(place), array.dtype.str, list(array.shape)])
        blobs.append(array.tobytes())
    return described, blobs


def _mac(key: str, head: bytes, body: bytes, secret: bytes) -> bytes:
    hasher = blake3(key=secret)
    for part in (key.encode(), head, body):
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return bytes(hasher.digest(length=_MAC_BYTES))


def _json_bytes(value: Any) -> int:
    if isinstance(value, dict):
        return 64 + sum(_json_bytes(key) + _json_bytes(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 56 + sum(8 + _json_bytes(item) for item in value)
    return 49 + len(value) if isinstance(value, str) else 32


# Reading -----------------------------------------------------------------------------------------


def _open(data: bytes, key: str, secret: bytes) -> tuple[bytes, int] | Malformed:
    """The compressed body and its stated length, once the frame around it is known to be ours."""
    if len(data) < _HEAD.size + _MAC_BYTES:
        return Malformed("truncated")
    magic, schema, _, length = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        return Malformed("foreign")
    if schema != SCHEMA:
        return Malformed("schema")
    head, body = data[: _HEAD.size], data[_HEAD.size + _MAC_BYTES :]
    found = data[_HEAD.size : _HEAD.size + _MAC_BYTES]
    if not hmac.compare_digest(found, _mac(key, head, body, secret)):
        return Malformed("forged")
    return body, length


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


def _parse(plain: bytes) -> Entry | Malformed:
    header_end = 4 + int.from_bytes(plain[:4], "little")
    header = json.loads(plain[4:header_end])
    by_place = _read_arrays(header["arrays"], memoryview(plain)[header_end:])
    values, segments = by_place.pop(("values",)), by_place.pop(("segments",), None)
    score, probability = by_place.pop(("score",), None), by_place.pop(("probability",), None)
    outputs = {name: array for (_, name), array in by_place.items()}
    attribution = Attribution(header["method"], values, header["trust"], segments)
    scores = None if score is None or probability is None else Scores(score, probability)
    entry = Entry(attribution, outputs, scores)
    return entry if _sound(entry) else Malformed("damaged")


def _read_arrays(described: Any, data: memoryview) -> dict[tuple[str, ...], Array]:
    arrays: dict[tuple[str, ...], Array] = {}
    start = 0
    for place, dtype, shape in described:
        if dtype not in _DTYPES or len(shape) > _MAX_DIMENSIONS:
            raise ValueError(dtype)
        if not all(type(size) is int and 0 <= size <= MAX_BODY_BYTES for size in shape):
            raise ValueError(shape)
        count = int(np.prod(shape, dtype=object)) if shape else 1
        stop = start + count * np.dtype(dtype).itemsize
        if stop > len(data) or not all(type(name) is str for name in place):
            raise ValueError(place)
        # frombuffer on bytes is read-only, which is what shared answers have to be
        flat = np.frombuffer(data[start:stop], dtype=dtype)
        arrays[tuple(place)] = flat.reshape(shape)
        start = stop
    if start != len(data):
        raise ValueError(start)
    return arrays


def _sound(entry: Entry) -> bool:
    attribution, scores = entry.attribution, entry.scores
    return (
        type(attribution.method) is str
        and type(attribution.trust) is dict
        and attribution.values.dtype == np.float32
        and attribution.values.ndim >= 1
        and (attribution.segments is None or attribution.segments.dtype == np.int32)
        and all(array.shape[:1] == (1,) for array in entry.outputs.values())
        and (
            scores is None
            or (
                scores.score.dtype == scores.probability.dtype == np.float32
                and scores.score.shape == scores.probability.shape
                and scores.score.ndim == 2
                and scores.score.shape[0] == 1
            )
        )
    )
