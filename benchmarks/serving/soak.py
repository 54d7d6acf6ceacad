"""Memory over a long time: everything that the service does, again and again."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import psutil

from benchmarks.serving.load import loads, stage
from benchmarks.serving.processes import service
from benchmarks.serving.rows import Row
from candor.cli.loading.pace import Closed
from candor.client import AsyncClient
from candor.errors import CandorError

__all__ = ["soak"]

_WARM = 10
"""Rounds after which programs are compiled and caches are full."""
_MORE = 30
_KINDS = (
    "photos",
    "photos:grad_cam",
    "photos:occlusion",
    "sentences:integrated_gradients",
    "vowels-gru:smooth_grad",
)
_LIME = ("digits-lenet:lime", "adult-mlp:lime")
"""Keeps how it cut pictures, 32 MiB at most: of new ones more and more until then."""
_ODD = 20
"""Of a round: bad requests, and as many that their callers give up."""
_PATIENCE_S = 0.05


def soak(seconds: float) -> Iterator[Row]:
    """Rounds of new connections, mixed work on new rows, bad requests and callers who give up."""
    yield from _soak(seconds, "all kinds but LIME", _KINDS)
    yield from _soak(seconds, "all kinds", (*_KINDS, *_LIME))


def _soak(seconds: float, what: str, kinds: tuple[str, ...]) -> Iterator[Row]:
    with service(cache_memory_bytes=str(8 << 20)) as running:
        process = psutil.Process(running.process.pid)

        def rounds(n: int) -> tuple[int, list[float]]:
            """How many requests that were, and MiB resident after each round."""
            n_asked, sizes = 0, []
            for _ in range(n):
                n_asked += asyncio.run(_round(running.target, seconds, kinds))
                sizes.append(process.memory_info().rss / 2**20)
            return n_asked, sizes

        n_warm, warm = rounds(_WARM)
        before = process.num_fds(), process.num_threads()
        n_asked, sizes = rounds(_MORE)
        after = process.num_fds(), process.num_threads()
    slope = float(np.polyfit(np.arange(_MORE), sizes, 1)[0])
    yield Row(
        f"resident set, {n_asked:,} requests of {what} after {n_warm:,} to warm up",
        f"{sizes[-1]:.0f} MiB, {min(sizes):.0f} to {max(sizes):.0f}",
        f"{warm[-1]:.0f} MiB warm",
        f"{1000 * slope * _MORE / n_asked:+.2f} MiB a thousand requests",
        "flat",
    )  # fmt: skip
    yield Row(
        "descriptors and threads, the same", f"{after[0]}, {after[1]}",
        f"{before[0]}, {before[1]} warm", "", "the same",
    )  # fmt: skip


async def _round(target: str, seconds: float, kinds: tuple[str, ...]) -> int:
    """Ask for a while; how many requests that were."""
    async with loads(target, seconds, *kinds) as every:
        summaries = await asyncio.gather(*(stage(load, Closed(1)) for load in every))
    rng = np.random.default_rng()
    async with AsyncClient(target, attempts=1) as client:
        for _ in range(_ODD):
            with suppress(CandorError):
                await client.predict("photos", tensors={"image": np.zeros((1, 2, 3), np.float32)})
            picture = rng.normal(size=(1, 3, 64, 64)).astype(np.float32)
            asked = client.explain("photos", ["occlusion"], tensors={"image": picture})
            with suppress(CandorError, TimeoutError):
                await asyncio.wait_for(asked, _PATIENCE_S)
    return sum(summary.n_due for summary in summaries) + 2 * _ODD
