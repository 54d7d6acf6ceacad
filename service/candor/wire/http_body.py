"""The body of an HTTP request: whole, unpacked, and within its limits.

There are two: everything is within `max_message_bytes`, and what of it is JSON within
`max_json_bytes`, because JSON takes many times its size to be read, where a tensor in binary takes
nothing. Both are looked at before the bytes come, where the headers tell.
"""

import zlib
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import ClientDisconnect, Request

from candor.errors import Cancelled, InvalidArgument, TooLarge, UnknownCompression
from candor.wire.call import Frame
from candor.wire.offload import LARGE_BYTES, offloaded
from candor.wire.rest_tensors import HEADER

__all__ = ["ENCODINGS", "read_body", "unpack"]

# Of zlib: a gzip header, a zlib header.
_WINDOWS: Final = {"gzip": 31, "deflate": 15}
ENCODINGS: Final = ", ".join(("identity", *_WINDOWS))
"""That are known, as HTTP lists them."""
_BINARY: Final = ("application/proto", "application/connect+proto")


class _Limit(NamedTuple):
    """The setting that a body has to keep to."""

    setting: str
    n_bytes: int
    advice: str

    def passed(self) -> TooLarge:
        """The error for a body that is longer."""
        return TooLarge(f"the body is longer than {self.setting}, {self.n_bytes}; {self.advice}")


async def read_body(request: Request, frame: Frame) -> bytes:
    """The whole body, unpacked.

    Raises:
        TooLarge: longer than a limit, before or after.
        UnknownCompression: a compression that is not known.
        InvalidArgument: bytes that are not what it makes.
        Cancelled: the caller went away.
    """
    limit = _limit(request, frame)
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit.n_bytes:
        raise limit.passed()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit.n_bytes:
                raise limit.passed()
    except ClientDisconnect as error:
        raise Cancelled("the caller hung up") from error
    unpacking = partial(unpack, request, bytes(body), frame)
    return await offloaded(unpacking, large=len(body) > LARGE_BYTES // 16)


def unpack(
    request: Request, packed: bytes, frame: Frame, header: str = "content-encoding"
) -> bytes:
    """What came, as it was before a header's compression.

    Raises:
        TooLarge: longer than a limit.
        UnknownCompression: a compression that is not known.
        InvalidArgument: bytes that are not what it makes.
    """
    encoding = request.headers.get(header, "identity").strip().lower()
    if encoding == "identity":
        return packed
    if encoding not in _WINDOWS:
        raise UnknownCompression(f"{header} is '{encoding[:40]}'; there are {ENCODINGS}")
    return _unpacked(packed, encoding, _limit(request, frame))


def _limit(request: Request, frame: Frame) -> _Limit:
    whole = _Limit("max_message_bytes", frame.max_message_bytes, "send fewer rows at a time")
    if request.headers.get("content-type", "").strip().lower().startswith(_BINARY):
        return whole
    advice = "send fewer rows at a time, or tensors in binary, which do not count"
    json = _Limit("max_json_bytes", frame.max_json_bytes, advice)
    of_json = request.headers.get(HEADER, "")
    if of_json.isascii() and of_json.isdecimal():
        if int(of_json[:19]) > json.n_bytes:
            raise json.passed()
        return whole
    return min(json, whole, key=lambda limit: limit.n_bytes)


def _unpacked(body: bytes, encoding: str, limit: _Limit) -> bytes:
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        # A few bytes may unpack to any number: no more than one over the limit is made.
        unpacked = unpacker.decompress(body, limit.n_bytes + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body is not {encoding}: {error}") from error
    if len(unpacked) > limit.n_bytes:
        raise limit.passed()
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidArgument(f"the body is not one whole {encoding} stream")
    return unpacked
