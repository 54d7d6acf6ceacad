"""A closed loop over prepared HTTP requests, as `raw` has for gRPC: nothing is built or parsed."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from benchmarks.serving.raw import Run

__all__ = ["closed_bodies", "post"]

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


def post(path: str, body: bytes, kind: str) -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def closed_bodies(port: int, requests: Sequence[bytes], callers: int, seconds: float) -> Run:
    """Let callers send the requests, each on a connection that stays open.

    Args:
        port: on the loopback.
        requests: as `post` makes them.
        callers: how many at a time.
        seconds: how long.

    Raises:
        RuntimeError: an answer that is not 200.
    """
    latencies: list[float] = []
    size, turn, began = 0, 0, perf_counter()

    async def caller() -> None:
        nonlocal size, turn
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while perf_counter() - began < seconds or not latencies:
            request = requests[turn % len(requests)]
            turn += 1
            sent = perf_counter()
            writer.write(request)
            size = await _answer(reader)
            latencies.append(1e3 * (perf_counter() - sent))
        writer.close()

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Run(len(latencies) / (perf_counter() - began), np.array(latencies), size)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(_END)).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"the server answered {head[:80]!r}")
    length = int(head.partition(_LENGTH)[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return length
