"""Every Prometheus metric of candor, declared once, on a registry of the caller's choosing.

Invariant: a gauge that goes up comes down: in-flight counts are only reached through context
managers. Label values come from bounded sets (model names in the store, methods, classes of work,
reasons); a model that the store does not know is labelled `UNKNOWN_MODEL`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from candor.result import ModelId

__all__ = ["UNKNOWN_MODEL", "CacheOp", "CacheTier", "Metrics", "WorkClass"]

WorkClass = Literal["interactive", "bulk"]
CacheTier = Literal["memory", "redis"]
CacheOp = Literal["get", "put"]

UNKNOWN_MODEL: Final = "(unknown)"
"""Label of requests for models that do not exist, so that callers cannot mint label values."""

_REQUEST_S: Final = (
    # From a cached answer (under a millisecond) to a LIME of a large network; the bar of the
    # cache (+1 ms, +3 ms) and of one slice (25 ms) are edges, so that they can be alerted on.
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
)
_QUEUE_S: Final = (
    # A slot that is free answers in tens of microseconds; one slice is 25 ms.
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)
)
_PROGRAM_S: Final = (
    # A tabular network takes 0.1 ms, ResNet-18 at 224 about 20 ms, a batch of 64 over a second.
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
)
_CACHE_S: Final = (
    # Memory answers in microseconds, Redis in a fraction of a millisecond; its timeout is 0.1 s.
    (0.000005, 0.00002, 0.0001, 0.00025, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
)
_LOAD_S: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_FIDELITY: Final = (
    # R² and 1 - completeness gap live in 0..1; what is under a half is hardly an explanation, so
    # the buckets are dense above it. A negative R² falls into the first bucket.
    (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
)


@dataclass(frozen=True, slots=True)
class _Families:
    """The metric families, in the order of the design page."""

    requests: Counter
    request_seconds: Histogram
    queue_seconds: Histogram
    batch_size: Histogram
    model_calls: Counter
    program_seconds: Histogram
    cache: Counter
    cache_seconds: Histogram
    cache_errors: Counter
    cache_bytes: Gauge
    inflight: Gauge
    queue_depth: Gauge
    shed: Counter
    fidelity: Histogram
    model_info: Gauge
    model_load_seconds: Histogram


class Metrics:
    """The one object that counts; everybody else is handed it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._families = _declare(registry)
        self._redis_up: Gauge | None = None

    # Requests ---------------------------------------------------------------------------------

    def answered(self, model: ModelId, method: str, code: str, seconds: float) -> None:
        """Count one answer, good or bad: `method` is `predict` or the explanation's name."""
        self._families.requests.labels(model.name, model.version, method, code).inc()
        self._families.request_seconds.labels(model.name, method).observe(seconds)

    @contextmanager
    def inflight(self, work_class: WorkClass) -> Iterator[None]:
        """Hold one request of the class in flight while the block runs."""
        gauge = self._families.inflight.labels(work_class)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    # Queues -----------------------------------------------------------------------------------

    def queue_depth(self, model: str, work_class: WorkClass, change: Literal[1, -1]) -> None:
        """Move the depth of a queue by one; `engine.workers` owns the balance."""
        self._families.queue_depth.labels(model, work_class).inc(change)

    def waiting(self, model: str) -> float:
        """Pieces of work for a model that wait, of both classes."""
        samples = (s for metric in self._families.queue_depth.collect() for s in metric.samples)
        return sum(sample.value for sample in samples if sample.labels["model"] == model)

    def queued(self, model: str, work_class: WorkClass, seconds: float) -> None:
        """Record how long a piece of work waited before it first ran."""
        self._families.queue_seconds.labels(model, work_class).observe(seconds)

    def shed(self, model: str, work_class: WorkClass, reason: str) -> None:
        """Count work refused or dropped: `queue_full`, `crowded_out`, `deadline`, `draining`."""
        self._families.shed.labels(model, work_class, reason).inc()

    # Models -----------------------------------------------------------------------------------

    def batch(self, model: str, rows: int) -> None:
        """Record the rows of one run of interactive work."""
        self._families.batch_size.labels(model).observe(rows)

    def program_ran(self, model: str, program: str, rows: int, seconds: float) -> None:
        """Count one ONNX Runtime run of a program."""
        self._families.model_calls.labels(model, program).inc(rows)
        self._families.program_seconds.labels(model, program).observe(seconds)

    def model_loaded(self, model: ModelId, provider: str, seconds: float) -> None:
        """Say that a model version is served, and how long its loading took."""
        self._families.model_info.labels(model.name, model.version, model.digest, provider).set(1)
        self._families.model_load_seconds.observe(seconds)

    def model_unloaded(self, model: ModelId, provider: str) -> None:
        """Take a model version's info away; unknown ones are ignored by Prometheus' client."""
        self._families.model_info.remove(model.name, model.version, model.digest, provider)

    def fidelity(self, model: str, method: str, value: float) -> None:
        """Record how far an explanation may be trusted, 1 at best (R², 1 - gap, correlation)."""
        self._families.fidelity.labels(model, method).observe(value)

    # Cache ------------------------------------------------------------------------------------

    def cache(self, kind: str, status: str, count: int = 1) -> None:
        """Count answers by where they came from: `hit`, `miss`, `coalesced`, `bypass`."""
        self._families.cache.labels(kind, status).inc(count)

    def cache_error(self, tier: CacheTier, reason: str, count: int = 1) -> None:
        """Count what went wrong in the cache and was served regardless."""
        self._families.cache_errors.labels(tier, reason).inc(count)

    def cache_bytes(self, tier: CacheTier, size: int) -> None:
        """Set what a tier holds at the moment."""
        self._families.cache_bytes.labels(tier).set(size)

    @contextmanager
    def cache_op(self, tier: CacheTier, op: CacheOp) -> Iterator[None]:
        """Time one look-up or store, failed ones included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._families.cache_seconds.labels(tier, op).observe(seconds)

    def redis_up(self, *, up: bool) -> None:
        """Set `candor_redis_up`; declared on first use, so a house without Redis has no zero."""
        if self._redis_up is None:
            self._redis_up = Gauge(
                "candor_redis_up",
                "Whether the Redis tier of the cache answers (absent: no Redis configured).",
                registry=self.registry,
            )
        self._redis_up.set(1 if up else 0)


def _declare(registry: CollectorRegistry) -> _Families:
    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=registry)

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=registry)

    def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=registry)

    # One row a metric: name, help, labels.
    # fmt: off
    return _Families(
        requests=counter(
            "candor_requests_total", "Answers by model, version, method and status code.",
            "model", "version", "method", "code"),
        request_seconds=histogram(
            "candor_request_seconds",
            "Time from the request's arrival to the method's answers, written.",
            "model", "method", buckets=_REQUEST_S),
        queue_seconds=histogram(
            "candor_queue_seconds", "Time that work waited before it first ran.",
            "model", "class", buckets=_QUEUE_S),
        batch_size=histogram(
            "candor_batch_size", "Rows in one run of interactive work.",
            "model", buckets=_ROWS),
        model_calls=counter(
            "candor_model_calls_total", "Rows run, by program.",
            "model", "program"),
        program_seconds=histogram(
            "candor_program_seconds", "Duration of one ONNX Runtime run, by program.",
            "model", "program", buckets=_PROGRAM_S),
        cache=counter(
            "candor_cache_total", "Answers by kind and by where they came from.",
            "kind", "status"),
        cache_seconds=histogram(
            "candor_cache_seconds", "Duration of one cache operation, failed ones included.",
            "tier", "op", buckets=_CACHE_S),
        cache_errors=counter(
            "candor_cache_errors_total", "Cache failures by reason; each was served as a miss.",
            "tier", "reason"),
        cache_bytes=gauge(
            "candor_cache_bytes", "Bytes that a cache tier holds.",
            "tier"),
        inflight=gauge(
            "candor_inflight", "Requests in the house, by class of work.",
            "class"),
        queue_depth=gauge(
            "candor_queue_depth", "Pieces of work that wait for a slot.",
            "model", "class"),
        shed=counter(
            "candor_shed_total", "Work refused or dropped, by reason.",
            "model", "class", "reason"),
        fidelity=histogram(
            "candor_explanation_fidelity",
            "How faithful explanations were: R², 1 - completeness gap, or a correlation.",
            "model", "method", buckets=_FIDELITY),
        model_info=gauge(
            "candor_model_info", "1 for each model version that is served.",
            "model", "version", "digest", "provider"),
        model_load_seconds=histogram(
            "candor_model_load_seconds", "Time to load one model version.",
            buckets=_LOAD_S),
    )
    # fmt: on
