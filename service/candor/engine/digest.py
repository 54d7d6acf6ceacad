"""Content keys: equal questions have equal keys, everything that changes an answer changes the key.

Keyed BLAKE3 over fields that each carry their name and length, so that no two different questions
can write the same bytes. What does not change an answer (request id, priority, deadline, budget,
cache policy, the rows that came along) never enters. Model, row and method are digested apart, once
for all the questions that share them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from blake3 import blake3

from candor.result import Array, Explained, Json, ModelId, Target, TrustLevel

__all__ = [
    "SCHEMA",
    "Asked",
    "Subjected",
    "asked_digest",
    "cache_secret",
    "question_key",
    "row_digest",
    "subject_digest",
]

SCHEMA: Final = 1
"""Version of key and entry format; another version is another world."""

IMPLEMENTATION: Final = 3
"""Raise it when an explainer's numbers change for the same question."""

_DERIVATION: Final = "candor 2026-11-20 cache secret"

_Fields: TypeAlias = Iterator[tuple[str, bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class Subjected:
    """Which model answers, as far as it bears on the numbers.

    Attributes:
        model: name and version stay out of the key, the digest goes in.
        recipe: what the manifest may say beside the ONNX file: activation, layout, tokens.
        provider: ONNX Runtime's execution provider.
        precision: in which the programs compute.
        output: the output that is explained; None for the default one.
        tenant: who shares the answers.
    """

    model: ModelId
    recipe: str
    provider: str
    precision: str = "float32"
    output: str | None = None
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a row is to be explained.

    Attributes:
        method: public name.
        options: resolved, as flat JSON.
        explained: None where the method decides.
        segments: the caller's own, for the row.
        trust: what the record holds.
    """

    method: str
    options: Mapping[str, Json]
    explained: Explained | None = None
    segments: Array | None = None
    trust: TrustLevel = "basic"


def cache_secret(material: bytes) -> bytes:
    """Derive the 32-byte secret from a key file's bytes, or from the namespace's name."""
    return bytes(blake3(material, derive_key_context=_DERIVATION).digest())


def subject_digest(subjected: Subjected, secret: bytes) -> bytes:
    """Digest the model: 32 bytes."""
    fields: dict[str, bytes | memoryview] = {
        "schema": b"%d" % SCHEMA,
        "implementation": b"%d" % IMPLEMENTATION,
        "model": subjected.model.digest.encode(),
        "recipe": subjected.recipe.encode(),
        "provider": subjected.provider.encode(),
        "precision": subjected.precision.encode(),
        "output": _optional(subjected.output),
        "tenant": subjected.tenant.encode(),
    }
    return _digest("subject", iter(fields.items()), secret)


def row_digest(row: Mapping[str, Array], secret: bytes) -> bytes:
    """Digest a row's inputs: name, dtype, shape, bytes; 32 bytes."""

    def fields() -> _Fields:
        for name in sorted(row):
            yield "input", name.encode()
            yield from _array(row[name])

    return _digest("row", fields(), secret)


def asked_digest(asked: Asked, secret: bytes) -> bytes:
    """Digest method, options and what goes with them: 32 bytes."""
    options = json.dumps(asked.options, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def fields() -> _Fields:
        yield "method", asked.method.encode()
        yield "options", options.encode()
        yield "explained", _optional(asked.explained)
        if asked.segments is not None:
            yield "segments", b""
            yield from _array(asked.segments)
        if asked.trust != "basic":
            yield "trust", asked.trust.encode()

    return _digest("asked", fields(), secret)


def question_key(subject: bytes, row: bytes, asked: bytes, target: Target, secret: bytes) -> str:
    """The cache key of one row, method and target: 64 hexadecimal digits.

    Args:
        subject: `subject_digest` of the model.
        row: `row_digest` of the row.
        asked: `asked_digest` of the method.
        target: resolved against the labels.
        secret: 32 bytes; without it nobody can say which key a known input has.
    """
    fields: dict[str, bytes | memoryview] = {
        "subject": subject,
        "row": row,
        "asked": asked,
        "plus": _optional(target.plus),
        "minus": _optional(target.minus),
    }
    return _digest("question", iter(fields.items()), secret).hex()


def _optional(value: str | int | None) -> bytes:
    """None is not the same as the text "None", nor as an empty one."""
    return b"" if value is None else f"={value}".encode()


def _array(array: Array) -> _Fields:
    yield "dtype", array.dtype.str.encode()
    yield "shape", ",".join(map(str, array.shape)).encode()
    if array.dtype.kind in "OSU":  # strings: their length is part of them
        for text in array.ravel().tolist():
            yield "item", text if isinstance(text, bytes) else str(text).encode()
    else:
        yield "bytes", np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _digest(kind: str, fields: _Fields, secret: bytes) -> bytes:
    packed = bytearray()
    for name, value in ((kind, b""), *fields):
        packed += len(name).to_bytes(4, "little") + name.encode()
        packed += len(value).to_bytes(8, "little")
        packed += value
    return bytes(blake3(packed, key=secret).digest())
