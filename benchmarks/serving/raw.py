"""A closed loop over prepared bytes: no message is built or read while time is taken."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import grpc
import numpy as np

from candor.result import Array

__all__ = ["Run", "closed_loop"]

_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Run(NamedTuple):
    """What a loop saw.

    Attributes:
        rate: answers a second.
        latencies_ms: float64 [k], of each answer.
        answer_bytes: size of the last one.
    """

    rate: float
    latencies_ms: Array
    answer_bytes: int


async def closed_loop(
    target: str, method: str, requests: Sequence[bytes], callers: int, seconds: float
) -> Run:
    """Let callers send the requests, one after the other and over again.

    Args:
        target: host:port.
        method: its full path.
        requests: serialized.
        callers: how many at a time.
        seconds: how long.
    """
    latencies: list[float] = []
    size, turn = 0, 0
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        call = channel.unary_unary(method)
        size = len(await call(requests[0]))
        began = perf_counter()

        async def caller() -> None:
            nonlocal size, turn
            while perf_counter() - began < seconds:
                request = requests[turn % len(requests)]
                turn += 1
                sent = perf_counter()
                size = len(await call(request))
                latencies.append(1e3 * (perf_counter() - sent))

        await asyncio.gather(*(caller() for _ in range(callers)))
        elapsed = perf_counter() - began
    return Run(len(latencies) / elapsed, np.array(latencies), size)
