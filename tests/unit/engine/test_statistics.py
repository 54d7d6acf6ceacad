"""Counts and durations by model and version."""

import threading

from candor.engine.statistics import Answered, Duration, Statistics
from candor.result import ModelId

MODEL = ModelId("m", "1", "d")


def test_threads_lose_no_count():
    statistics = Statistics()

    def count():
        for _ in range(2000):
            statistics.ran(MODEL, 4, 1e-6)
            statistics.answered(MODEL, Answered(ok=True, seconds=1e-3, rows=2))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = statistics.of("m", "1")
    assert (found.executions, found.inferences) == (8000, 16000)
    assert found.success == Duration(8000, 8000 * 10**6)
    assert found.batches == {4: Duration(8000, 8000 * 1000)}


def test_batch_sizes_that_callers_choose_take_bounded_memory():
    statistics = Statistics()
    for rows in range(1, 100_000):
        statistics.ran(MODEL, rows, 1e-9)
    found = statistics.of("m", "1")
    assert len(found.batches) < 300
    assert sum(duration.count for duration in found.batches.values()) == 99_999
    assert {2**17, 200} <= set(found.batches)


def test_a_copy_does_not_change_and_a_model_that_is_forgotten_begins_again():
    statistics = Statistics()
    statistics.answered(MODEL, Answered(ok=False, seconds=0.5))
    before = statistics.of("m", "1")
    statistics.answered(MODEL, Answered(ok=True, seconds=0.5, rows=1, look_up_s=0.1, hit=True))
    assert (before.success.count, before.fail, before.last_ms) == (0, Duration(1, 5 * 10**8), 0)
    now = statistics.of("m", "1")
    assert (now.cache_hit, now.inferences) == (Duration(1, 10**8), 0)
    assert now.steps["queue"] == Duration()
    statistics.forget(MODEL)
    statistics.forget(MODEL)
    assert statistics.of("m", "1").fail.count == 0
