"""What so many requests a second take: cores, replicas, Redis, series of metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from benchmarks.scaling.measure import Cost
from candor.metrics import Metrics
from candor.result import ModelId

__all__ = ["MIX", "Need", "Plan", "core_seconds", "need", "series"]

MIX: Final[Mapping[str, float]] = {"predict": 0.80, "grad_cam": 0.15, "lime": 0.05}
"""Shares of the requests, where nothing else is said."""

_CONNECTIONS: Final = 32  # of one replica to Redis, at most (engine/redis_client.py)
_DAY_S: Final = 86400


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served, and how.

    Attributes:
        rate: requests a second.
        memory_hits, redis_hits: shares of the explanations that these tiers answer.
        utilisation: share of the cores that is to be busy in the mean.
        cores: of one replica.
    """

    rate: float
    memory_hits: float = 0.4
    redis_hits: float = 0.3
    utilisation: float = 0.6
    cores: int = 2


@dataclass(frozen=True, slots=True)
class Need:
    """What that takes.

    Attributes:
        cores, replicas: busy ones in the mean divided by the utilisation, rounded up to replicas.
        redis_commands: a second; one look-up a request for an explanation, one store a new answer.
        redis_bytes: a second, both ways.
        redis_connections: at most.
        redis_day_bytes: of the new answers of a day, if none is thrown out.
        proxy_cores: busy ones of haproxy.
    """

    cores: float
    replicas: int
    redis_commands: float
    redis_bytes: float
    redis_connections: int
    redis_day_bytes: float
    proxy_cores: float


def core_seconds(costs: Mapping[str, Cost], plan: Plan, mix: Mapping[str, float] = MIX) -> float:
    """Of one request of the mix, in the mean."""
    computed = 1 - plan.memory_hits - plan.redis_hits
    total = 0.0
    for method, share in mix.items():
        if method == "predict":
            total += share * costs["predict"].core_s
            continue
        total += share * (
            plan.memory_hits * costs[f"{method}, from memory"].core_s
            + plan.redis_hits * costs[f"{method}, from Redis"].core_s
            + computed * costs[f"{method}, computed"].core_s
        )
    return total


def need(costs: Mapping[str, Cost], plan: Plan, mix: Mapping[str, float] = MIX) -> Need:
    """What a plan takes."""
    busy = plan.rate * core_seconds(costs, plan, mix)
    replicas = max(2, math.ceil(busy / plan.utilisation / plan.cores))
    explained = plan.rate * (1 - mix.get("predict", 0.0))
    computed = 1 - plan.memory_hits - plan.redis_hits
    size = sum(
        share * costs[f"{method}, computed"].stored_bytes
        for method, share in mix.items()
        if method != "predict"
    ) / (1 - mix.get("predict", 0.0))
    stored = explained * computed
    return Need(
        cores=busy / plan.utilisation,
        replicas=replicas,
        redis_commands=explained * (1 - plan.memory_hits) + stored,
        redis_bytes=(explained * plan.redis_hits + stored) * size,
        redis_connections=replicas * _CONNECTIONS,
        redis_day_bytes=stored * size * _DAY_S,
        proxy_cores=plan.rate * costs["haproxy"].core_s,
    )


def series(models: int, methods: int) -> int:
    """Time series of a replica whose models were all asked by all methods, and refused some."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(models):
        model = ModelId(f"model-{number}", "1", f"{number:064x}")
        metrics.model_loaded(model, "cpu", 1.0)
        metrics.batch(model.name, 1)
        for work_class in ("interactive", "bulk"):
            metrics.queue_depth(model.name, work_class, 1)
            metrics.queued(model.name, work_class, 0.1)
            metrics.shed(model.name, work_class, "queue_full")
        for method in ("predict", *(f"method-{each}" for each in range(methods))):
            for code in ("OK", "RESOURCE_EXHAUSTED"):
                metrics.answered(model, method, code, 0.1)
            metrics.program_ran(model.name, method, 1, 0.1)
            metrics.fidelity(model.name, method, 1.0)
    return sum(
        not sample.name.endswith("_created") for f in registry.collect() for sample in f.samples
    )
