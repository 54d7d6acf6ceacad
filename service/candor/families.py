"""The families of metrics: name, help, labels and buckets of each, in one table."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Families", "Series", "declare"]

F = TypeVar("F", bound=Counter | Gauge | Histogram)

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


class Series(dict[tuple[str, ...], F], Generic[F]):
    """The series of a family, by the values of its labels; made when they are first asked for.

    A small prediction counts in nine of them, and the family's own look-up takes 4 us.

    Attributes:
        family: as the registry knows it.
    """

    def __init__(self, family: F) -> None:
        super().__init__()
        self.family = family

    def __missing__(self, labels: tuple[str, ...]) -> F:
        series = self[labels] = cast("F", self.family.labels(*labels))
        return series

    def remove(self, *labels: str) -> None:
        """Show a series no more; one that there is not is ignored."""
        self.pop(labels, None)
        self.family.remove(*labels)


@dataclass(frozen=True, slots=True)
class Families:
    """The metric families, in the order of the design page."""

    requests: Series[Counter]
    request_seconds: Series[Histogram]
    queue_seconds: Series[Histogram]
    batch_size: Series[Histogram]
    model_calls: Series[Counter]
    program_seconds: Series[Histogram]
    cache: Series[Counter]
    cache_seconds: Series[Histogram]
    cache_errors: Series[Counter]
    cache_locks: Series[Counter]
    cache_bytes: Series[Gauge]
    inflight: Series[Gauge]
    queue_depth: Series[Gauge]
    shed: Series[Counter]
    jobs: Series[Gauge]
    jobs_ended: Series[Counter]
    jobs_taken_over: Counter
    fidelity: Series[Histogram]
    model_info: Series[Gauge]
    model_load_seconds: Histogram
    model_memory: Gauge
    model_unloads: Series[Counter]


def declare(registry: CollectorRegistry) -> Families:
    """Declare every family on a registry."""

    def counter(name: str, text: str, *labels: str) -> Series[Counter]:
        return Series(Counter(name, text, labels, registry=registry))

    def gauge(name: str, text: str, *labels: str) -> Series[Gauge]:
        return Series(Gauge(name, text, labels, registry=registry))

    def histogram(
        name: str, text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Series[Histogram]:
        return Series(Histogram(name, text, labels, buckets=buckets, registry=registry))

    # One row a metric: name, help, labels.
    # fmt: off
    return Families(
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
        cache_locks=counter(
            "candor_cache_locks_total",
            "Long explanations by what the lock that replicas share came to.",
            "outcome"),
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
        jobs=gauge(
            "candor_jobs", "Jobs of this server that wait (queued) or run (running).",
            "state"),
        jobs_ended=counter(
            "candor_jobs_ended_total", "Jobs of this server by how they ended.",
            "state"),
        jobs_taken_over=Counter(
            "candor_jobs_taken_over_total", "Jobs that this server took over from dead ones.",
            registry=registry),
        fidelity=histogram(
            "candor_explanation_fidelity",
            "How faithful explanations were: R², 1 - completeness gap, or a correlation.",
            "model", "method", buckets=_FIDELITY),
        model_info=gauge(
            "candor_model_info", "1 for each model version that is served.",
            "model", "version", "digest", "provider"),
        model_load_seconds=Histogram(
            "candor_model_load_seconds", "Time to load one model version.",
            buckets=_LOAD_S, registry=registry),
        model_memory=Gauge(
            "candor_model_memory_bytes",
            "Memory of all models and their programs, estimated from weights and runs.",
            registry=registry),
        model_unloads=counter(
            "candor_model_unloads_total",
            "Programs that were unloaded to keep to model_memory_bytes; they come back on demand.",
            "model", "program"),
    )
    # fmt: on
