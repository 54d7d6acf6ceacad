"""candor's own memory tier comes to the hit rates that Che's approximation foretells."""

import os

import numpy as np
import pytest
from benchmarks.scaling.caching import hit_rate, two_tiers
from benchmarks.scaling.theory import che_hit_rate, zipf

QUESTIONS = 5_000
ASKED = 30_000


SEED = int(os.environ.get("CANDOR_SEED", "1"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.mark.parametrize("exponent", [0.7, 1.1])
@pytest.mark.parametrize("places", [100, 1_000])
def test_hit_rate_of_zipf_traffic_is_ches(rng, exponent, places):
    popularity = zipf(QUESTIONS, exponent)
    found = hit_rate(popularity, places, ASKED, rng)
    expected = che_hit_rate(popularity, places)
    # Five standard errors of the draws, and half a percent for the approximation.
    assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / ASKED) + 0.005, SEED


def test_equal_popularity_hits_by_the_share_that_is_held(rng):
    even = np.full(1_000, 1e-3)
    assert che_hit_rate(even, 250) == pytest.approx(0.25)
    assert hit_rate(even, 250, ASKED, rng) == pytest.approx(0.25, abs=0.02)
    assert che_hit_rate(even, 1_000) == 1


def test_more_replicas_make_no_memory_better_and_redis_makes_up_for_it(rng):
    places = (200, 2_000)
    few = two_tiers(QUESTIONS, 1.0, places, 2, ASKED, rng)
    many = two_tiers(QUESTIONS, 1.0, places, 8, ASKED, rng)
    for found in (few, many):
        assert found.memory + found.redis + found.computed == pytest.approx(1)
        # Each memory sees the same popularity, only less often: Che's rate whatever the number.
        assert found.memory == pytest.approx(che_hit_rate(zipf(QUESTIONS, 1.0), 200), abs=0.02)
    assert many.computed == pytest.approx(few.computed, abs=0.03)
    assert many.redis > 0.15
