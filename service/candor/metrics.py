"""Every Prometheus metric of candor, declared once, on a registry of the caller's choosing.

Invariant: a gauge that goes up comes down: in-flight counts are only reached through context
managers. Label values come from bounded sets (model names in the store, methods, classes of work,
reasons); a model that the store does not know is labelled `UNKNOWN_MODEL`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Gauge

from candor.families import declare
from candor.result import ModelId

__all__ = ["UNKNOWN_MODEL", "CacheOp", "CacheTier", "Metrics", "WorkClass"]

WorkClass = Literal["interactive", "bulk"]
CacheTier = Literal["memory", "redis", "replays"]
CacheOp = Literal["get", "put", "lock"]

UNKNOWN_MODEL: Final = "(unknown)"
"""Label of requests for models that do not exist, so that callers cannot mint label values."""


class Metrics:
    """The one object that counts; everybody else is handed it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._families = declare(registry)
        self._redis_up: Gauge | None = None

    # Requests ---------------------------------------------------------------------------------

    def answered(self, model: ModelId, method: str, code: str, seconds: float) -> None:
        """Count one answer, good or bad: `method` is `predict` or the explanation's name."""
        self._families.requests[model.name, model.version, method, code].inc()
        self._families.request_seconds[model.name, method].observe(seconds)

    @contextmanager
    def inflight(self, work_class: WorkClass) -> Iterator[None]:
        """Hold one request of the class in flight while the block runs."""
        gauge = self._families.inflight[work_class,]
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    # Queues -----------------------------------------------------------------------------------

    def queue_depth(self, model: str, work_class: WorkClass, change: Literal[1, -1]) -> None:
        """Move the depth of a queue by one; `engine.workers` owns the balance."""
        self._families.queue_depth[model, work_class].inc(change)

    def waiting(self, model: str) -> float:
        """Pieces of work for a model that wait, of both classes."""
        depths = self._families.queue_depth.family.collect()
        samples = (sample for metric in depths for sample in metric.samples)
        return sum(sample.value for sample in samples if sample.labels["model"] == model)

    def queued(self, model: str, work_class: WorkClass, seconds: float) -> None:
        """Record how long a piece of work waited before it first ran."""
        self._families.queue_seconds[model, work_class].observe(seconds)

    def shed(self, model: str, work_class: WorkClass, reason: str) -> None:
        """Count work refused or dropped: `queue_full`, `crowded_out`, `deadline`, `draining`."""
        self._families.shed[model, work_class, reason].inc()

    # Jobs -------------------------------------------------------------------------------------

    def jobs(self, state: str, change: Literal[1, -1]) -> None:
        """Move the number of jobs in a state by one; `engine.jobs.memory` owns the balance."""
        self._families.jobs[state,].inc(change)

    def job_ended(self, state: str) -> None:
        """Count a job that has ended so."""
        self._families.jobs_ended[state,].inc()

    def job_taken_over(self) -> None:
        """Count a job of a dead server that is ours now."""
        self._families.jobs_taken_over.inc()

    # Models -----------------------------------------------------------------------------------

    def batch(self, model: str, rows: int) -> None:
        """Record the rows of one run of interactive work."""
        self._families.batch_size[model,].observe(rows)

    def program_ran(self, model: str, program: str, rows: int, seconds: float) -> None:
        """Count one ONNX Runtime run of a program."""
        self._families.model_calls[model, program].inc(rows)
        self._families.program_seconds[model, program].observe(seconds)

    def model_loaded(self, model: ModelId, provider: str, seconds: float) -> None:
        """Say that a model version is served, and how long its loading took."""
        self._families.model_info[model.name, model.version, model.digest, provider].set(1)
        self._families.model_load_seconds.observe(seconds)

    def model_unloaded(self, model: ModelId, provider: str) -> None:
        """Take a model version's info away; unknown ones are ignored by Prometheus' client."""
        self._families.model_info.remove(model.name, model.version, model.digest, provider)

    def model_memory(self, size_bytes: Callable[[], int]) -> None:
        """Say where to ask what all models take in memory; asked whenever somebody looks."""
        self._families.model_memory.set_function(size_bytes)

    def program_unloaded(self, model: str, program: str) -> None:
        """Count a program that had to make room; `predict` is the model itself."""
        self._families.model_unloads[model, program].inc()

    def fidelity(self, model: str, method: str, value: float) -> None:
        """Record how far an explanation may be trusted, 1 at best (R², 1 - gap, correlation)."""
        self._families.fidelity[model, method].observe(value)

    # Cache ------------------------------------------------------------------------------------

    def cache(self, kind: str, status: str, count: int = 1) -> None:
        """Count answers by where they came from: `hit`, `miss`, `coalesced`, `bypass`."""
        self._families.cache[kind, status].inc(count)

    def cache_error(self, tier: CacheTier, reason: str, count: int = 1) -> None:
        """Count what went wrong in the cache and was served regardless."""
        self._families.cache_errors[tier, reason].inc(count)

    def cache_lock(self, outcome: str) -> None:
        """Count: `computed`, `waited`, `took_over`, `hurried`, `unreachable` (docs/caching.md)."""
        self._families.cache_locks[outcome,].inc()

    def cache_bytes(self, tier: CacheTier, size: int) -> None:
        """Set what a tier holds at the moment."""
        self._families.cache_bytes[tier,].set(size)

    @contextmanager
    def cache_op(self, tier: CacheTier, op: CacheOp) -> Iterator[None]:
        """Time one look-up or store, failed ones included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._families.cache_seconds[tier, op].observe(seconds)

    def redis_up(self, *, up: bool) -> None:
        """Set `candor_redis_up`; declared on first use, so a house without Redis has no zero."""
        if self._redis_up is None:
            self._redis_up = Gauge(
                "candor_redis_up",
                "Whether the Redis tier of the cache answers (absent: no Redis configured).",
                registry=self.registry,
            )
        self._redis_up.set(1 if up else 0)
