"""Cached explanations beside an echo of the same payloads: from memory, and from Redis."""

import asyncio
from collections.abc import Iterator

import numpy as np

from benchmarks.serving.processes import echo, free_port, redis, service
from benchmarks.serving.raw import Run, closed_loop
from benchmarks.serving.rows import EXPLAIN, Row, explanations, spread, unique

__all__ = ["from_memory", "from_redis"]

_ROUNDS = 7


def from_memory(seconds: float) -> Iterator[Row]:
    """The same 32 explanations over and over, with the memory tier."""
    with service() as running:
        yield _compare(running.target, "memory", seconds, "p99 + 1 ms")


def from_redis(seconds: float) -> Iterator[Row]:
    """The same with Redis alone."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with redis(port), service(redis_url=url, cache_memory_bytes="0") as running:
        yield _compare(running.target, "Redis", seconds, "p99 + 3 ms")


def _compare(target: str, tier: str, seconds: float, bar: str) -> Row:
    requests = explanations("photos", "grad_cam", "image", unique((1, 3, 64, 64), 32))
    size = max(_loop(target, [request], 0).answer_bytes for request in requests)
    with echo(size) as echoing:
        pairs = [
            (_loop(echoing, requests, seconds), _loop(target, requests, seconds))
            for _ in range(_ROUNDS)
        ]
    echoed, ours = ([float(np.percentile(run.latencies_ms, 99)) for run in runs]
                  for runs in zip(*pairs, strict=True))  # fmt: skip
    more = [a - b for a, b in zip(ours, echoed, strict=True)]
    return Row(
        f"cached grad_cam from {tier}, one caller, p99, against an echo of the same payload",
        f"{spread(ours)} ms", f"{spread(echoed)} ms", f"+{spread(more)} ms", bar,
    )  # fmt: skip


def _loop(target: str, requests: list[bytes], seconds: float) -> Run:
    return asyncio.run(closed_loop(target, EXPLAIN, requests, 1, seconds))
