import numpy as np
import pytest
from scipy.stats import spearmanr

from candor.explain.similarity import rank_correlation

draw = np.random.default_rng(0)


@pytest.mark.parametrize("values", [draw.normal(size=(9, 7)), draw.integers(0, 4, (9, 7))])
def test_rank_correlation_is_scipys_with_and_without_ties(values):
    other = values + draw.normal(size=values.shape)
    expected = spearmanr(values.ravel(), other.ravel()).statistic
    assert rank_correlation(values, other) == pytest.approx(expected)
    assert rank_correlation(values, np.exp(values / 3)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)


def test_a_flat_map_has_no_ranks():
    assert rank_correlation(np.ones(5), draw.normal(size=5)) is None
