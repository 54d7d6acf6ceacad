"""How right cases become wrong ones."""

import gzip
import json
import re
import struct
import zlib
from random import Random

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from fuzz.messages import mutate, scramble

__all__ = ["changed_body", "changed_manifest", "changed_message", "changed_picture", "scrambled"]

_JUNK = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -0.0),
    *(float("nan"), float("inf"), "", "x", "\ud800", "\u00e9" * 50, "1", "-1", "1e9", "\0"),
    *("candor.lime", "lime", "grad_cam", [], [[]], [1, [2]], {}, [None], [0] * 20),
    *({"b64": "AA=="}, {"b64": 3}, {"b64": "\u00e9"}, "BYTES", "FP16", "INT8", "BOOL"),
)
_KEYS = (
    *("candor.explain", "candor.target", "candor.targets", "candor.seed", "candor.budget_ms"),
    *("candor.lime.n_samples", "candor.lime.segments", "timeout", "priority", "x", "b64"),
    *("binary_data", "binary_data_output", "binary_data_size", "classification"),
    *("shared_memory_region", "\ud800", "candor.explain_if", "candor.trust", "candor.layer"),
)
_HEADERS = (
    *(
        b"inference-header-content-length: " + v
        for v in (b"0", b"1", b"40", b"-1", b"x", b"9" * 30)
    ),
    *(b"content-encoding: " + v for v in (b"gzip", b"deflate", b"br", b"identity", b"\xff")),
    *(b"content-type: " + v for v in (b"application/proto", b"application/json", b"text/plain")),
    *(b"content-type: application/connect+" + v for v in (b"proto", b"json", b"x")),
    *(b"connect-content-encoding: " + v for v in (b"gzip", b"deflate", b"identity", b"br")),
    *(b"connect-timeout-ms: " + v for v in (b"1", b"0", b"-1", b"9" * 30, b"1000")),
    *(b"content-length: 99999999999", b"x-request-id: \xff", b"connect-protocol-version: 2"),
)
_TOML = (
    *("0", "-1", "1e999", "nan", "true", '""', '"x"', "[]", "[1]", "[1, 2]", "[0.5, 0.5, 0.5]"),
    *("{}", '["a", "a"]', '["a", 1]', "99999999999999999999", '"../../etc/passwd"', "2020-01-01"),
    *('"gray"', '"bgr"', '"nhwc"', '"tokens"', '"image"', '"series"', '"tabular"', "'(a+)+b'"),
    *('"pad"', '"stretch"', "[[1]]", "'['", "'a*'", '"\\u0000"', "0x7fffffffffffffff"),
)


def scrambled(case: bytes, rng: Random) -> bytes:
    """Bytes changed, taken out and put in."""
    return scramble(case, rng) if case else rng.randbytes(4)


def changed_message(methods, case: bytes, rng: Random) -> bytes:
    """`path\\n` and a message: a field of it, or its bytes; now and then another path.

    Args:
        methods: (descriptor, handler) by path, or the class of the only message.
    """
    path, _, payload = case.partition(b"\n")
    known = methods.get(path.decode("latin-1")) or methods.get(path)
    if rng.random() < 0.02:
        path = str(rng.choice(list(methods))).encode() if path else path
    kind = known if isinstance(known, type) else known and GetMessageClass(known[0].input_type)
    if kind is None or rng.random() < 0.3:
        return path + b"\n" + scrambled(payload, rng)
    if rng.random() < 0.05:
        return path + b"\n" + payload[: rng.randrange(len(payload) + 1)]
    try:
        message = kind.FromString(payload)
    except DecodeError:
        return path + b"\n" + scrambled(payload, rng)
    mutate(message, rng)
    return path + b"\n" + message.SerializeToString()


def changed_body(case: bytes, rng: Random) -> bytes:
    """A request over HTTP: its path, its headers, its document, or its bytes."""
    head, _, body = case.partition(b"\n\n")
    match rng.randrange(10):
        case 0:
            head = scrambled(head, rng)
        case 1 | 2:
            head += b"\n" + rng.choice(_HEADERS)
        case 3:
            body = scrambled(body, rng)
        case 4:
            body = body[: rng.randrange(len(body) + 1)]
        case 5:
            body, head = gzip.compress(body), head + b"\ncontent-encoding: gzip"
        case 6:
            body += rng.randbytes(rng.randrange(1, 20))
        case _:
            body = _changed_document(body, rng)
    return head + b"\n\n" + body


def _changed_document(body: bytes, rng: Random) -> bytes:
    try:
        document, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    except (ValueError, RecursionError):
        return scrambled(body, rng)
    return json.dumps(_changed(document, rng)).encode() + body[end:]


def _changed(value: object, rng: Random) -> object:
    if rng.random() < 0.12:
        return rng.choice(_JUNK)
    if isinstance(value, dict):
        found = {name: _changed(inner, rng) for name, inner in value.items()}
        if found and rng.random() < 0.08:
            found.pop(rng.choice(list(found)))
        if rng.random() < 0.08:
            found[rng.choice(_KEYS)] = rng.choice(_JUNK)
        return found
    if isinstance(value, list):
        found = [_changed(inner, rng) for inner in value]
        return found[: len(found) - (rng.random() < 0.05)] + found[: rng.random() < 0.05]
    return value


def changed_picture(case: bytes, rng: Random) -> bytes:
    """A picture: cut short, of another size than it says, a part of another kind, or its bytes."""
    match rng.randrange(4):
        case 0:
            return case[: rng.randrange(len(case) + 1)]
        case 1 if case.startswith(b"\x89PNG") and len(case) > 33:
            return _png_of_size(case, rng)
        case 1:
            sides = struct.pack(">HH", rng.choice((0, 1, 65535)), rng.choice((0, 5000, 65535)))
            at = rng.randrange(min(len(case), 200) + 1)
            return case[:at] + sides + case[at + 4 :]
        case 2:
            at = rng.randrange(len(case) + 1)
            return case[:at] + case[rng.randrange(len(case) + 1) :]
    return scrambled(case, rng)


def _png_of_size(case: bytes, rng: Random) -> bytes:
    """Its header says another size, depth or colour, with a checksum that is right."""
    sides = [rng.choice((0, 1, 2, 999, 1001, 65535, 2**31 - 1, 2**32 - 1)) for _ in range(2)]
    kinds = bytes((rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 9)), 0, 0))
    header = b"IHDR" + struct.pack(">II", *sides) + kinds + bytes([rng.randrange(3)])
    return case[:12] + header + struct.pack(">I", zlib.crc32(header)) + case[33:]


def changed_manifest(case: bytes, rng: Random) -> bytes:
    """A manifest: a value, a key, a line, or its bytes."""
    lines = case.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            return scrambled(case, rng)
        case 1:
            del lines[at]
        case 2:
            lines.insert(at, rng.choice(lines))
        case 3:
            lines[at] = lines[at].replace(b"e", b"a", 1)
        case _:
            places = [i for i, line in enumerate(lines) if re.match(rb"[\w.\"]+ = ", line)]
            if places:
                at = rng.choice(places)
                key = lines[at].partition(b" = ")[0]
                lines[at] = key + b" = " + rng.choice(_TOML).encode()
    return b"\n".join(lines)
