import pytest
from prometheus_client import CollectorRegistry, generate_latest

from candor.metrics import Metrics
from candor.result import ModelId

MODEL = ModelId("photos", "3", "ab" * 32)

DESIGNED = {
    "candor_requests_total": {"model", "version", "method", "code"},
    "candor_request_seconds": {"model", "method"},
    "candor_queue_seconds": {"model", "class"},
    "candor_batch_size": {"model"},
    "candor_model_calls_total": {"model", "program"},
    "candor_program_seconds": {"model", "program"},
    "candor_cache_total": {"kind", "status"},
    "candor_cache_seconds": {"tier", "op"},
    "candor_redis_up": set(),
    "candor_inflight": {"class"},
    "candor_queue_depth": {"model", "class"},
    "candor_shed_total": {"model", "class", "reason"},
    "candor_explanation_fidelity": {"model", "method"},
    "candor_model_info": {"model", "version", "digest", "provider"},
    "candor_model_load_seconds": set(),
}


@pytest.fixture
def metrics():
    return Metrics(CollectorRegistry())


def touch_everything(metrics):
    metrics.answered(MODEL, "lime", "OK", 0.2)
    metrics.queue_depth("photos", "bulk", 1)
    metrics.queued("photos", "bulk", 0.01)
    metrics.shed("photos", "bulk", "queue_full")
    metrics.batch("photos", 4)
    metrics.program_ran("photos", "predict", 4, 0.01)
    metrics.model_loaded(MODEL, "cpu", 0.5)
    metrics.fidelity("photos", "lime", 0.9)
    metrics.cache("explanation", "hit")
    metrics.cache_error("redis", "timeout")
    metrics.cache_bytes("memory", 100)
    metrics.redis_up(up=True)
    with metrics.inflight("bulk"), metrics.cache_op("redis", "get"):
        pass


def test_every_metric_of_the_contract_has_its_name_and_labels(metrics):
    touch_everything(metrics)
    labels: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            name = sample.name.removesuffix("_bucket")
            labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    assert {name: labels.get(name) for name in DESIGNED} == DESIGNED


def test_two_houses_in_one_process_do_not_share_their_counts():
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.batch("photos", 4)
    sample = {"model": "photos"}
    assert one.registry.get_sample_value("candor_batch_size_count", sample) == 1
    assert other.registry.get_sample_value("candor_batch_size_count", sample) is None


def test_calls_are_counted_in_rows_and_runs_in_seconds(metrics):
    metrics.program_ran("photos", "predict", 8, 0.25)
    metrics.program_ran("photos", "predict", 2, 0.25)
    labels = {"model": "photos", "program": "predict"}
    value = metrics.registry.get_sample_value
    assert value("candor_model_calls_total", labels) == 10
    assert value("candor_program_seconds_count", labels) == 2
    assert value("candor_program_seconds_sum", labels) == 0.5


def test_gauges_come_down_when_the_block_fails(metrics):
    def inflight():
        return metrics.registry.get_sample_value("candor_inflight", {"class": "bulk"})

    with metrics.inflight("bulk"):
        assert inflight() == 1
        with pytest.raises(ZeroDivisionError), metrics.inflight("bulk"):
            raise ZeroDivisionError
        assert inflight() == 1
    assert inflight() == 0


def test_a_cache_operation_that_fails_is_timed_too(metrics):
    with pytest.raises(ZeroDivisionError), metrics.cache_op("redis", "get"):
        raise ZeroDivisionError
    labels = {"tier": "redis", "op": "get"}
    assert metrics.registry.get_sample_value("candor_cache_seconds_count", labels) == 1


def test_a_house_without_redis_does_not_say_that_redis_is_down(metrics):
    assert b"candor_redis_up" not in generate_latest(metrics.registry)
    metrics.redis_up(up=False)
    assert b"\ncandor_redis_up 0.0" in generate_latest(metrics.registry)


def test_a_model_that_is_unloaded_has_no_info_left(metrics):
    metrics.model_loaded(MODEL, "cpu", 0.5)
    metrics.model_unloaded(MODEL, "cpu")
    metrics.model_unloaded(MODEL, "cpu")
    assert b"candor_model_info{" not in generate_latest(metrics.registry)
