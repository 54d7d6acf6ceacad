"""Intervals of means: as wide as the rows are spread, and of groups as wide as the groups are."""

import numpy as np
import pytest
from benchmarks.quality.spread import mean_of


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many_rows(seed):
    values = np.random.default_rng(seed).normal(3.0, 2.0, 400)
    found = mean_of(values.tolist(), range(400))
    half = 1.96 * values.std() / 20
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["mean"] - found["low"] == pytest.approx(half, rel=0.2)
    assert found["high"] - found["mean"] == pytest.approx(half, rel=0.2)
    assert found["n"] == 400


def test_four_answers_about_one_picture_are_no_four_pictures(seed):
    each = np.random.default_rng(seed).normal(size=100)
    single = mean_of(each.tolist(), range(100))
    repeated = mean_of(each.repeat(4).tolist(), np.arange(100).repeat(4).tolist())
    assert (repeated["low"], repeated["high"]) == (single["low"], single["high"])


def test_what_was_not_measured_does_not_count():
    assert mean_of([None, None], [0, 1]) is None
    assert mean_of([None, 2.0, 2.0], [0, 1, 2]) == {"mean": 2.0, "low": 2.0, "high": 2.0, "n": 2}
