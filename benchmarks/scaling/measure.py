"""What one request costs a replica, in seconds of a core, and what it moves: measured here.

The processor time of the server's process is read before and after a closed loop, so that what
neighbours take of the machine slows the measurement down and hardly changes it.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import redis

from benchmarks.interleave import machine
from benchmarks.scaling.proxy import before
from benchmarks.serving.load import stage
from benchmarks.serving.processes import free_port, here, service
from benchmarks.serving.processes import redis as redis_server
from candor.cli.loading.drive import Load, send
from candor.cli.loading.mix import parse_mix
from candor.cli.loading.pace import Closed
from candor.cli.loading.rows import made_for
from candor.client import AsyncClient

__all__ = ["KINDS", "RESULTS", "Cost", "keep", "measure", "read"]

RESULTS: Final = Path(__file__).parent / "results" / "costs.json"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CALLERS: Final = 4
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request of a kind.

    Attributes:
        kind: as `candor load --mix` names it, and where the answer comes from.
        core_s: processor time of the server, median over the rounds.
        low_s, high_s: least and most of a round.
        stored_bytes: of one answer in Redis; 0 where nothing is stored.
        n: requests in all rounds.
    """

    kind: str
    core_s: float
    low_s: float
    high_s: float
    stored_bytes: float
    n: int


KINDS: Final = {
    "predict": ("photos", "none"),
    "grad_cam, computed": ("photos:grad_cam", "none"),
    "lime, computed": ("photos:lime", "none"),
    "grad_cam, from memory": ("photos:grad_cam", "memory"),
    "grad_cam, from Redis": ("photos:grad_cam", "redis"),
    "lime, from memory": ("photos:lime", "memory"),
    "lime, from Redis": ("photos:lime", "redis"),
}
"""What is asked, and which tier knows the answer. `haproxy` comes beside: what it spends itself."""


def measure(seconds: float) -> Iterator[Cost]:
    """One kind after the other, in as many rounds."""
    here()
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(port), service(redis_url=url) as known, \
            service(redis_url=url, cache_memory_bytes="0") as forgetful:  # fmt: skip
        for name, (ask, tier) in KINDS.items():
            running = forgetful if tier == "redis" else known
            of = _Of(name, ask, running.target, running.process.pid, fresh=tier == "none")
            yield asyncio.run(_cost(of, seconds, port))
        with before(known) as (door, pid):
            of = _Of("haproxy", "photos", door, pid, fresh=True)
            yield asyncio.run(_cost(of, seconds, port))


@dataclass(frozen=True, slots=True)
class _Of:
    """What is asked where, and whose time is counted."""

    name: str
    ask: str
    target: str
    pid: int
    fresh: bool


async def _cost(of: _Of, seconds: float, port: int) -> Cost:
    rng = np.random.default_rng(0)
    spent_s, n, stored = [], 0, 0.0
    async with AsyncClient(of.target, attempts=1) as client:
        (kind,) = parse_mix([of.ask])
        rows = made_for(await client.model(kind.model), 1, 32, 0 if of.fresh else 8, rng)
        load = Load(
            client, [kind], [rows], seconds, timeout_s=60.0, cache="use", steady=False,
            max_under_way=1000, rng=rng,
        )  # fmt: skip
        for _ in range(16):
            await send(load, 0)
        await asyncio.sleep(0.5)  # what is stored, is stored
        stored = _mean_bytes(port)
        for _ in range(_ROUNDS):
            began_s = _processor_s(of.pid)
            summary = await stage(load, Closed(_CALLERS))
            spent_s.append((_processor_s(of.pid) - began_s) / summary.n_ok)
            n += summary.n_ok
    with redis.Redis(port=port) as client_of_redis:
        client_of_redis.flushall()
    low_s, core_s, high_s = np.percentile(spent_s, [0, 50, 100]).tolist()
    return Cost(of.name, core_s, low_s, high_s, stored, n)


def _mean_bytes(port: int) -> float:
    """Of the memory that Redis itself counts for a key and its value."""
    with redis.Redis(port=port) as client:
        sizes = [client.memory_usage(key) for key in client.keys("candor:*")]
    return float(np.mean(sizes)) if sizes else 0.0


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def keep(costs: list[Cost]) -> None:
    """Write what was found, with the machine that it was found on."""
    RESULTS.parent.mkdir(exist_ok=True)
    found = {"machine": machine("onnxruntime", "grpcio"), "costs": [asdict(c) for c in costs]}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read() -> tuple[dict[str, str], dict[str, Cost]]:
    """The machine, and costs by kind, as they were kept."""
    found = json.loads(RESULTS.read_text("utf-8"))
    return found["machine"], {cost["kind"]: Cost(**cost) for cost in found["costs"]}
