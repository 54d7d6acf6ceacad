"""One cached answer as bytes: self-describing, checked, and read as if a stranger had written it.

    sealed (magic "CNDR"): header length u32 | header (JSON) | the arrays' bytes, one after another

No input to `decode` raises: what is not an entry is a `Malformed`, which the cache takes for a
miss.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from candor.engine.digest import SCHEMA
from candor.engine.sealed import MAX_BODY_BYTES, Malformed, seal, unseal
from candor.result import Array, Attribution, Json, Scores

__all__ = ["MAX_BODY_BYTES", "Entry", "Malformed", "decode", "encode", "entry_bytes"]

_KIND: Final = (b"CNDR", SCHEMA)
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


def encode(entry: Entry, key: str, secret: bytes) -> bytes | None:
    """Write an entry; None where it cannot be (too large, NaN in the trust record, odd dtypes)."""
    arrays, blobs = _describe(entry)
    if arrays is None:
        return None
    attribution = entry.attribution
    try:
        header = json.dumps(
            {**_told(attribution), "arrays": arrays},
            allow_nan=False,
        ).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    plain = b"".join([len(header).to_bytes(4, "little"), header, *blobs])
    return seal(plain, _KIND, key, secret)


def decode(data: bytes, key: str, secret: bytes) -> Entry | Malformed:
    """Read what was found under a key; never raises, whatever the bytes are."""
    plain = unseal(data, _KIND, key, secret)
    if isinstance(plain, Malformed):
        return plain
    try:
        return _parse(plain)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return Malformed("damaged")


def entry_bytes(entry: Entry) -> int:
    """Roughly what an entry takes in memory."""
    arrays = sum(array.nbytes for _, array in _arrays(entry))
    return arrays + _json_bytes(_told(entry.attribution)) + 1024


# Writing -----------------------------------------------------------------------------------------


def _arrays(entry: Entry) -> list[tuple[list[str], Array]]:
    """Every array with its place: a list of names, so that no name of an output can collide."""
    attribution, scores = entry.attribution, entry.scores
    placed: list[tuple[list[str], Array]] = [(["values"], attribution.values)]
    if attribution.segments is not None:
        placed.append((["segments"], attribution.segments))
    for other in attribution.others:
        placed.append((["map", other.input], other.values))
        if other.segments is not None:
            placed.append((["segments", other.input], other.segments))
    if scores is not None:
        placed += [(["score"], scores.score), (["probability"], scores.probability)]
    return placed + [(["output", name], array) for name, array in entry.outputs.items()]


def _told(attribution: Attribution) -> dict[str, Json]:
    """What an entry's header says of its maps; of the only one, no name."""
    told: dict[str, Json] = {"method": attribution.method, "trust": dict(attribution.trust)}
    if attribution.input:
        others: list[Json] = [[other.input, dict(other.trust)] for other in attribution.others]
        told |= {"input": attribution.input, "others": others}
    return told


def _describe(entry: Entry) -> tuple[list[Json] | None, list[bytes]]:
    described: list[Json] = []
    blobs: list[bytes] = []
    for place, array in _arrays(entry):
        if array.dtype.str not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
            return None, []
        described.append([list(place), array.dtype.str, list(array.shape)])
        blobs.append(array.tobytes())
    return described, blobs


def _json_bytes(value: Any) -> int:
    if isinstance(value, dict):
        return 64 + sum(_json_bytes(key) + _json_bytes(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 56 + sum(8 + _json_bytes(item) for item in value)
    return 49 + len(value) if isinstance(value, str) else 32


# Reading -----------------------------------------------------------------------------------------


def _parse(plain: bytes) -> Entry | Malformed:
    header_end = 4 + int.from_bytes(plain[:4], "little")
    header = json.loads(plain[4:header_end])
    by_place = _read_arrays(header["arrays"], memoryview(plain)[header_end:])
    values, segments = by_place.pop(("values",)), by_place.pop(("segments",), None)
    score, probability = by_place.pop(("score",), None), by_place.pop(("probability",), None)
    method = header["method"]
    others = tuple(
        Attribution(
            method,
            by_place.pop(("map", name)),
            trust,
            by_place.pop(("segments", name), None),
            input=name,
        )
        for name, trust in header.get("others", ())
    )
    outputs = {name: array for (what, name), array in by_place.items() if what == "output"}
    if len(outputs) != len(by_place):
        raise ValueError(len(by_place))
    named = header.get("input", "")
    attribution = Attribution(method, values, header["trust"], segments, named, others)
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
        count = math.prod(shape)
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


def _is_map(attribution: Attribution) -> bool:
    return (
        type(attribution.input) is str
        and type(attribution.trust) is dict
        and attribution.values.dtype == np.float32
        and attribution.values.ndim >= 1
        and (attribution.segments is None or attribution.segments.dtype == np.int32)
    )


def _sound(entry: Entry) -> bool:
    attribution, scores = entry.attribution, entry.scores
    return (
        type(attribution.method) is str
        and _is_map(attribution)
        and all(map(_is_map, attribution.others))
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
