"""Metrics under Triton's names, for dashboards that exist: `--triton-metrics`.

Made at each scrape of the statistics that ModelStatistics answers, with which they begin again when
a model is loaded anew. The names stand exactly as Triton has them, without the ending that the
client library gives its own counters, hence the type `untyped`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from candor.engine.statistics import ModelStatistics
from candor.wire.call import Frame
from candor.wire.lookup import Models

__all__ = ["TritonMetrics"]

_Read: TypeAlias = Callable[[ModelStatistics], float]

_NUMBERS: Mapping[str, tuple[str, _Read]] = MappingProxyType(
    {
        "nv_inference_request_success": ("Requests answered.", lambda s: s.success.count),
        "nv_inference_count": ("Rows of requests, cached ones not counted.",
                               lambda s: s.inferences),
        "nv_inference_exec_count": ("Runs of the model's programs.", lambda s: s.executions),
        "nv_inference_request_duration_us": ("Time from arrival to answer.",
                                             lambda s: s.success.ns // 1000),
        "nv_inference_queue_duration_us": ("Time before the first slot.",
                                           lambda s: s.steps["queue"].ns // 1000),
        "nv_inference_compute_input_duration_us": ("Time to read and prepare.",
                                                   lambda s: s.steps["compute_input"].ns // 1000),
        "nv_inference_compute_infer_duration_us": ("Time to compute.",
                                                   lambda s: s.steps["compute_infer"].ns // 1000),
        "nv_inference_compute_output_duration_us": ("Time to write.",
                                                    lambda s: s.steps["compute_output"].ns // 1000),
        "nv_cache_num_hits_per_model": ("Requests that the cache answered.",
                                        lambda s: s.cache_hit.count),
        "nv_cache_num_misses_per_model": ("Requests that the cache could not answer.",
                                          lambda s: s.cache_miss.count),
        "nv_cache_hit_duration_per_model": ("Time of look-ups that answered, in microseconds.",
                                            lambda s: s.cache_hit.ns // 1000),
        "nv_cache_miss_duration_per_model": ("Time of look-ups that did not, in microseconds.",
                                             lambda s: s.cache_miss.ns // 1000),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TritonMetrics(Collector):
    """Collects the models that are served at the moment."""

    store: Models
    frame: Frame

    @override
    def collect(self) -> Iterator[Metric]:
        """All of them, by model and version."""
        served = [
            self.frame.statistics.of(entry.name, entry.version)
            for entry in self.store.entries()
            if entry.state == "ready"
        ]
        for name, (text, read) in _NUMBERS.items():
            metric = Metric(name, text, "unknown")
            for counts in served:
                metric.add_sample(name, _labels(counts), read(counts))
            yield metric
        name = "nv_inference_request_failure"
        failures = Metric(name, "Requests that failed, by reason.", "unknown")
        for counts in served:
            for reason, count in counts.failures.items():
                failures.add_sample(name, _labels(counts) | {"reason": reason}, count)
        yield failures
        name = "nv_inference_pending_request_count"
        pending = Metric(name, "Pieces of work that wait for a slot.", "gauge")
        for counts in served:
            depth = self.frame.metrics.waiting(counts.name)
            pending.add_sample(name, _labels(counts), depth)
        yield pending


def _labels(counts: ModelStatistics) -> dict[str, str]:
    return {"model": counts.name, "version": counts.version}
