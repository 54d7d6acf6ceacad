"""The tables of docs/scaling.md, from the costs that are kept and from the simulations."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.interleave import markdown
from benchmarks.scaling.caching import hit_rate, two_tiers
from benchmarks.scaling.capacity import Plan, core_seconds, need, series
from benchmarks.scaling.measure import Cost, read
from benchmarks.scaling.queueing import arrivals, simulate
from benchmarks.scaling.theory import che_hit_rate, zipf

__all__ = ["write"]

PAGE: Final = Path("docs/scaling.md")
_BLOCK = re.compile(r"(<!-- simulated: ([a-z]+) -->\n).*?(<!-- end simulated -->)", re.DOTALL)
_RATES: Final = (10, 1_000, 100_000)
_QUESTIONS: Final = 100_000


def write() -> None:
    """Write every block of the page."""
    facts, costs = read()
    tables: Mapping[str, Callable[[], str]] = {
        "costs": partial(_costs, facts, costs),
        "need": partial(_need, costs),
        "waits": _waits,
        "slices": partial(_slices, costs),
        "hits": _hits,
        "tiers": _tiers,
        "series": _series,
    }
    text = PAGE.read_text("utf-8")
    PAGE.write_text(_BLOCK.sub(lambda m: f"{m[1]}{tables[m[2]]()}\n{m[3]}", text), "utf-8")


def _costs(facts: Mapping[str, str], costs: Mapping[str, Cost]) -> str:
    rows = [
        (
            cost.kind, f"{1e3 * cost.core_s:.2f}",
            f"{1e3 * cost.low_s:.2f} to {1e3 * cost.high_s:.2f}",
            f"{1 / cost.core_s:,.{int(cost.core_s > 0.1)}f}", cost.n,
        )
        for cost in costs.values()
    ]  # fmt: skip
    head = ("one request", "ms of a core", "rounds", "a second and core", "measured")
    where = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{markdown(head, rows)}\n\n({where})"


def _need(costs: Mapping[str, Cost]) -> str:
    rows = []
    for rate in _RATES:
        found = need(costs, Plan(rate))
        rows.append(
            (
                f"{rate:,}", f"{found.cores:,.1f}", f"{found.replicas:,}",
                f"{found.redis_commands:,.0f}",
                f"{found.redis_bytes / 1e6:,.2f}", f"{found.redis_connections:,}",
                f"{found.redis_day_bytes / 1e9:,.1f}", f"{found.proxy_cores:,.2f}",
            )
        )  # fmt: skip
    head = (
        "requests a second", "cores", "replicas of 2", "Redis commands a second",
        "Redis MB a second", "connections to Redis, most",
        "GB of new answers a day", "haproxy, cores",
    )  # fmt: skip
    each = 1e3 * core_seconds(costs, Plan(1))
    return f"One request of the mix takes {each:.2f} ms of a core.\n\n{markdown(head, rows)}"


def _waits() -> str:
    """99th percentile of the wait, in multiples of the mean service, replicas of two cores."""
    rng, service_s = np.random.default_rng(1), 0.01
    rows = []
    for replicas in (2, 8, 32):
        for load in (0.5, 0.7, 0.8, 0.9):
            rate = load * 2 * replicas / service_s
            requests = arrivals(rng, rate, 60_000, lambda n: rng.exponential(service_s, n))
            cells = [
                np.percentile(
                    simulate(requests, replicas=n, cores=c, dispatch=how).wait_s, 99
                ) / service_s
                for n, c, how in (
                    (1, 2 * replicas, "least"), (replicas, 2, "least"), (replicas, 2, "of two"),
                    (replicas, 2, "in turn"), (replicas, 2, "at random"),
                )
            ]  # fmt: skip
            rows.append((f"{replicas} at {load:.0%}", *(f"{cell:.1f}" for cell in cells)))
    head = (
        "replicas, busy",
        "one queue",
        "fewest inside",
        "better of two",
        "in turn",
        "at random",
    )
    return markdown(head, rows)


def _slices(costs: Mapping[str, Cost]) -> str:
    """What predictions wait beside long explanations, by how busy those keep the cores."""
    rng, rows = np.random.default_rng(2), []
    predict_s, lime_s = costs["predict"].core_s, costs["lime, computed"].core_s
    for bulk in (0.0, 0.2, 0.4, 0.6):
        rate, count = 0.2 * 2 / predict_s, 40_000
        first = arrivals(rng, rate, count, lambda n: np.full(n, predict_s))
        n_bulk = int(first[-1].at_s * bulk * 2 / lime_s)
        later = arrivals(
            rng, max(bulk * 2 / lime_s, 1e-9), n_bulk, lambda n: np.full(n, lime_s), bulk=True
        )
        found = simulate([*first, *later], replicas=1, cores=2, dispatch="least")
        waits = 1e3 * found.wait_s[:count]
        lime = f"{1e3 * np.percentile(found.total_s[count:], 99):.0f}" if n_bulk else ""
        rows.append((f"{bulk:.0%}", *(f"{x:.1f}" for x in np.percentile(waits, [50, 99])), lime))
    head = (
        "cores busy with LIME", "a prediction waits, p50 ms", "p99 ms", "LIME takes, p99 ms",
    )  # fmt: skip
    return markdown(head, rows)


def _hits() -> str:
    rng, rows = np.random.default_rng(3), []
    for share in (0.001, 0.01, 0.03, 0.1, 0.3):
        cells = []
        for exponent in (0.7, 0.9, 1.1):
            popularity = zipf(_QUESTIONS, exponent)
            places = int(share * _QUESTIONS)
            found = hit_rate(popularity, places, 200_000, rng)
            cells.append(f"{found:.3f} ({che_hit_rate(popularity, places):.3f})")
        rows.append((f"{share:.1%}", *cells))
    return markdown(("held", "exponent 0.7", "0.9", "1.1"), rows)


def _tiers() -> str:
    rng, rows = np.random.default_rng(4), []
    for replicas in (1, 4, 16):
        for places in ((1_000, 0), (1_000, 10_000), (1_000, 30_000)):
            found = two_tiers(_QUESTIONS, 0.9, places, replicas, 200_000, rng)
            shares = (found.memory, found.redis, found.computed)
            rows.append((replicas, f"{places[1]:,}", *(f"{share:.3f}" for share in shares)))
    return markdown(("replicas", "in Redis", "memory", "Redis", "computed"), rows)


def _series() -> str:
    rows = [
        (models, methods, f"{series(models, methods):,}", f"{series(models, methods) * 100:,}")
        for models, methods in ((1, 3), (5, 3), (20, 3), (20, 9), (100, 9))
    ]
    return markdown(("models", "methods in use", "series a replica", "of 100 replicas"), rows)
