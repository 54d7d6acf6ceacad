import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor.explain.steps import ended
from candor.explain.surrogate import factorising, fit, kernel_weights, regressing, resampling
from unit.explain.draws import draw_masks
from unit.explain.told import finish


def samples(n_samples=60, n_segments=5, seed=0):
    draw = np.random.default_rng(seed)
    masks = draw_masks("image", n_segments, n_samples, seed)
    values = masks @ draw.normal(size=n_segments) + np.where(masks[:, 0], masks[:, 1], 0.3)
    return masks, values + draw.normal(size=n_samples) * 0.1, kernel_weights(masks, 0.25)


def stability(surrogate, k, seed):
    return ended(resampling(surrogate, k, seed))


def ridge(masks, values, weights):
    """Weighted ridge with a free intercept by its normal equations, written out."""
    design = np.hstack([np.ones((len(masks), 1)), masks])
    penalty = np.diag([0.0] + [1.0] * masks.shape[1])
    return np.linalg.solve(design.T * weights @ design + penalty, design.T * weights @ values)


@given(st.integers(2, 80), st.integers(1, 12), st.integers(0, 1000))
def test_coefficients_solve_the_normal_equations(n_samples, n_segments, seed):
    masks, values, weights = samples(n_samples, max(n_segments, 2), seed)
    surrogate = fit(masks, values, weights)
    want = ridge(masks, values, weights)
    np.testing.assert_allclose(
        [surrogate.intercept, *surrogate.coefficients], want, rtol=1e-9, atol=1e-9
    )


def test_out_of_sample_r2_is_that_of_refitting_without_each_sample():
    masks, values, weights = samples()
    missed, spread = 0.0, 0.0
    for row in range(len(masks)):
        rest = np.arange(len(masks)) != row
        intercept, *coefficients = ridge(masks[rest], values[rest], weights[rest])
        mean = np.average(values[rest], weights=weights[rest])
        missed += weights[row] * (values[row] - intercept - masks[row] @ coefficients) ** 2
        spread += weights[row] * (values[row] - mean) ** 2
    assert fit(masks, values, weights).out_of_sample_r2 == pytest.approx(1 - missed / spread)


def test_in_blocks_it_is_the_same_fit_and_the_clock_is_looked_at(monkeypatch):
    masks, values, weights = samples(400, 9)
    whole = fit(masks, values, weights)
    kept = stability(whole, 4, seed=3)
    monkeypatch.setattr("candor.explain.surrogate._BLOCK_CELLS", 9 * 70)
    looks, factors = finish(factorising(masks, weights))
    more, parted = finish(regressing(factors, values))
    last, kept_in_parts = finish(resampling(parted, 4, seed=3))
    assert (len(looks), len(more), len(last)) == (3 * 5, 2 * 5, 5)
    for name in ("coefficients", "intervals", "pull", "solved", "out_of_sample_r2", "intercept"):
        np.testing.assert_allclose(getattr(parted, name), getattr(whole, name), atol=1e-12)
    assert kept_in_parts == kept


def test_intervals_hold_what_another_draw_of_samples_would_find():
    # coverage: of 95 % intervals, about 95 % hold the coefficient that unlimited samples would give

    def of_mask(masks):
        return np.tanh(masks @ np.array([2.0, -1.0, 0.5, 0.0, 1.0]) * np.where(masks[:, 0], 1, 0.4))

    every = np.array(np.meshgrid(*[[False, True]] * 5)).reshape(5, -1).T
    # the ridge's penalty of 1 on 400 samples is one of 32/400 on the 32 equally likely masks
    weights = kernel_weights(every, 0.25) * 400 / 32
    truth = ridge(every, of_mask(every), weights)[1:]
    inside = []
    for seed in range(300):
        masks = draw_masks("image", 5, 400, seed)
        low, high = fit(masks, of_mask(masks), kernel_weights(masks, 0.25)).intervals.T
        inside.append((low <= truth) & (truth <= high))
    assert 0.92 < np.mean(inside) < 0.975


@settings(max_examples=25)
@given(st.permutations([-4.0, -2.5, -1.0, 0.0, 1.5, 3.0, 5.0]), st.integers(0, 2**32 - 1))
def test_a_linear_model_of_segments_is_recovered(truth, seed):
    masks = draw_masks("image", 7, 1000, seed)
    surrogate = fit(masks, masks @ np.array(truth) + 0.5, kernel_weights(masks, 0.25))
    assert np.argsort(surrogate.coefficients).tolist() == np.argsort(truth).tolist()
    signed = np.abs(truth) > 0
    assert (np.sign(surrogate.coefficients) == np.sign(truth))[signed].all()
    assert surrogate.r2 > 0.9999
    assert surrogate.out_of_sample_r2 > 0.9999
    assert surrogate.local_prediction == pytest.approx(sum(truth) + 0.5, abs=0.2)


def test_weights_fall_from_one_with_the_share_removed():
    masks = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
    distance = 1 - np.sqrt([1, 0.75, 0.25, 0])
    want = np.exp(-(distance**2) / (2 * 0.25**2))
    np.testing.assert_allclose(kernel_weights(masks, 0.25), want, rtol=1e-12)


def test_values_that_never_vary_have_no_fit():
    masks, _, weights = samples()
    surrogate = fit(masks, np.full(len(masks), 0.1), weights)
    assert surrogate.r2 is None
    assert surrogate.out_of_sample_r2 is None
    assert (surrogate.coefficients == 0).all()
    assert surrogate.intercept == 0.1


def test_one_sample_alone_says_nothing_and_breaks_nothing():
    surrogate = fit(np.ones((1, 3), bool), np.array([0.7]), np.ones(1))
    assert surrogate.r2 is None
    assert surrogate.intercept == pytest.approx(0.7)
    assert np.isfinite(surrogate.intervals).all()


def test_stability_is_one_for_clear_winners_and_low_for_noise():
    masks, _, weights = samples(200, 20)
    clear = masks @ np.array([9.0, -8.0, 7.0, 6.0, -5.0] + [0.01] * 15)
    noise = np.random.default_rng(1).normal(size=200)
    assert stability(fit(masks, clear, weights), 5, seed=0) == 1.0
    unstable = stability(fit(masks, noise, weights), 5, seed=0)
    assert 0.2 < unstable < 0.8
    assert unstable == stability(fit(masks, noise, weights), 5, seed=0)


def test_stability_predicts_the_overlap_of_independent_draws():
    truth = np.linspace(1, 0, 15)

    def top_five(seed):
        draw = np.random.default_rng(seed)
        masks = draw_masks("image", 15, 150, seed)
        values = masks @ truth + draw.normal(size=150) * 1.5
        surrogate = fit(masks, values, kernel_weights(masks, 0.25))
        return set(np.argsort(-np.abs(surrogate.coefficients))[:5]), surrogate

    drawn = [top_five(seed) for seed in range(60)]
    overlap = np.mean([len(a[0] & b[0]) / 5 for a, b in zip(drawn[::2], drawn[1::2], strict=True)])
    predicted = np.mean([stability(surrogate, 5, 0) for _, surrogate in drawn])
    assert predicted == pytest.approx(overlap, abs=0.12)
