"""The simulation of queues comes to what queueing theory knows exactly."""

import os

import numpy as np
import pytest
from benchmarks.scaling.queueing import SLICE_S, Request, arrivals, simulate
from benchmarks.scaling.theory import erlang_c, wait_before_slices, wait_mg1, wait_mmc

COUNT = 20_000


SEED = int(os.environ.get("CANDOR_SEED", "1"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def assert_close(waits: np.ndarray, expected: float) -> None:
    """Within five standard errors, which batch means estimate, since waits are correlated."""
    settled = waits[len(waits) // 10 :]
    batches = settled[: len(settled) // 40 * 40].reshape(40, -1).mean(axis=1)
    error = batches.std(ddof=1) / np.sqrt(len(batches))
    said = f"CANDOR_SEED={SEED}: {settled.mean():.6f} ± {error:.6f}, expected {expected:.6f}"
    assert abs(settled.mean() - expected) < 5 * error, said


@pytest.mark.parametrize(("cores", "load"), [(1, 0.8), (8, 0.85)])
def test_one_replica_of_some_cores_is_m_m_c(rng, cores, load):
    service_s = 0.02
    rate = load * cores / service_s
    requests = arrivals(rng, rate, COUNT, lambda n: rng.exponential(service_s, n))
    times = simulate(requests, replicas=1, cores=cores, dispatch="in turn")
    assert_close(times.wait_s, wait_mmc(rate, service_s, cores))
    waited = (times.wait_s > 1e-12).astype(float)
    assert_close(waited, erlang_c(cores, load * cores))


def test_equal_requests_wait_half_as_long(rng):
    requests = arrivals(rng, 35, COUNT, lambda n: np.full(n, 0.02))
    times = simulate(requests, replicas=1, cores=1, dispatch="in turn")
    assert_close(times.wait_s, wait_mg1(35, 0.02, 0.02**2))
    assert wait_mg1(35, 0.02, 0.02**2) == pytest.approx(wait_mmc(35, 0.02, 1) / 2)


def test_replicas_chosen_at_random_are_queues_of_their_own(rng):
    requests = arrivals(rng, 4 * 35, COUNT, lambda n: rng.exponential(0.02, n))
    seed = int(rng.integers(2**32))
    times = simulate(requests, replicas=4, cores=1, dispatch="at random", seed=seed)
    assert_close(times.wait_s, wait_mmc(35, 0.02, 1))


def test_who_goes_first_waits_for_half_a_slice_of_what_is_bulk(rng):
    rate, service_s, bulk_load = 10.0, 0.01, 0.5
    bulk_s = 8 * SLICE_S
    first = arrivals(rng, rate, COUNT, lambda n: rng.exponential(service_s, n))
    n_bulk = int(first[-1].at_s * bulk_load / bulk_s)
    second = arrivals(rng, bulk_load / bulk_s, n_bulk, lambda n: np.full(n, bulk_s), bulk=True)
    times = simulate([*first, *second], replicas=1, cores=1, dispatch="in turn")
    expected = wait_before_slices(rate, service_s, 2 * service_s**2, bulk_load, SLICE_S)
    assert_close(times.wait_s[:COUNT], expected)


def test_fewest_in_the_house_waits_between_one_queue_and_chance(rng):
    requests = arrivals(rng, 8 * 40, COUNT, lambda n: rng.exponential(0.02, n))
    mean = {
        how: simulate(requests, replicas=8, cores=1, dispatch=how).wait_s.mean()
        for how in ("least", "of two", "in turn", "at random")
    }
    pooled = simulate(requests, replicas=1, cores=8, dispatch="least").wait_s.mean()
    assert pooled < mean["least"] < mean["of two"] < mean["in turn"] < mean["at random"]


def test_nothing_is_lost_or_done_early():
    requests = [Request(0.0, 0.1), Request(0.01, 0.06, bulk=True), Request(0.02, 0.01)]
    times = simulate(requests, replicas=1, cores=1, dispatch="least")
    # The third goes before the second, which came first and is done in three slices.
    np.testing.assert_allclose(times.wait_s, [0.0, 0.1, 0.08])
    np.testing.assert_allclose(times.total_s, [0.1, 0.16, 0.09])
