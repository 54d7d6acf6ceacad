"""Statistics as the Open Inference Protocol writes them."""

from candor.engine.statistics import Duration, ModelStatistics, Statistics
from candor.errors import NotFound
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.wire.lookup import Models

__all__ = ["statistics_response"]


def statistics_response(
    store: Models, statistics: Statistics, name: str, version: str
) -> pb.ModelStatisticsResponse:
    """The counts of the models that are served, of one name and version where these are given.

    Raises:
        NotFound: there is no such model or version, or it is not loaded.
        InvalidModel: it is broken.
    """
    if name and not store.loads(name, version):
        store.get(name, version)  # says what is wrong with it
    served = [
        entry
        for entry in store.entries()
        if entry.state == "ready" and name in ("", entry.name) and version in ("", entry.version)
    ]
    if name and not served:
        raise NotFound(f"version '{version}' of model '{name}' is not loaded, and counts nothing")
    return pb.ModelStatisticsResponse(
        model_stats=[_message(statistics.of(entry.name, entry.version)) for entry in served]
    )


def _message(counts: ModelStatistics) -> pb.ModelStatistics:
    steps = {step: _duration(duration) for step, duration in counts.steps.items()}
    return pb.ModelStatistics(
        name=counts.name,
        version=counts.version,
        last_inference=counts.last_ms,
        inference_count=counts.inferences,
        execution_count=counts.executions,
        inference_stats=pb.InferStatistics(
            success=_duration(counts.success),
            fail=_duration(counts.fail),
            cache_hit=_duration(counts.cache_hit),
            cache_miss=_duration(counts.cache_miss),
            **steps,
        ),
        batch_stats=[
            # What goes in and out is timed by request, not by run.
            pb.InferBatchStatistics(batch_size=size, compute_infer=_duration(duration))
            for size, duration in sorted(counts.batches.items())
        ],
    )


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)
