"""The mean over noisy copies: what is drawn, averaged, reduced, left out and warned of."""

import numpy as np
import pytest

from candor.explain.explainers import evaluations, resolve
from candor.explain.options import SmoothGrad
from candor.explain.question import Question
from candor.explain.smooth_grad import smooth_grad
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import NumpySubject, linear, peak_bytes
from unit.explain.told import finish

draw = np.random.default_rng(11)


def cubic(weights, **options):
    """Scores sum(w x^3), so that the gradient 3 w x^2 depends on where it is taken."""
    axes = tuple(range(1, weights.ndim))
    return NumpySubject(
        lambda x: np.stack([(x**3 * w).sum(axis=axes) for w in weights], axis=1),
        lambda x, toward: 3 * x**2 * np.tensordot(toward, weights, axes=1),
        **options,
    )


def test_values_are_the_mean_of_the_gradients_at_the_documented_draws():
    weights, x = draw.normal(size=(3, 2, 4, 5)), draw.normal(size=(1, 2, 4, 5))
    chosen = SmoothGrad(20, 0.3, reduction="signed", channels="keep", seed=9)
    _, answer = finish(smooth_grad(cubic(weights), Question(x, Target(1)), chosen))
    drawn = np.random.default_rng(9).standard_normal((20, 2, 4, 5)) * 0.3 * np.ptp(x)
    wanted = (3 * (x + drawn) ** 2 * weights[1]).mean(axis=0)
    np.testing.assert_allclose(answer.values, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("reduction", "of"), [("abs", np.abs), ("signed", np.asarray), ("squared", np.square)]
)
def test_the_mean_is_reduced_before_its_channels_are_summed(reduction, of):
    weights = draw.normal(size=(3, 2, 4, 5))
    question = Question(draw.normal(size=(1, 2, 4, 5)), Target(2))
    _, answer = finish(smooth_grad(linear(weights), question, SmoothGrad(7, reduction=reduction)))
    np.testing.assert_allclose(answer.values, of(weights[2]).sum(axis=0), rtol=1e-5)


def test_without_noise_it_is_the_gradient_and_every_copy_keeps_its_class():
    weights, x = draw.normal(size=(3, 2, 4, 5)), draw.normal(size=(1, 2, 4, 5))
    _, answer = finish(smooth_grad(cubic(weights), Question(x), SmoothGrad(3, 0.0)))
    top = answer.trust["target"]["plus"]
    np.testing.assert_allclose(
        answer.values, np.abs(3 * x[0] ** 2 * weights[top]).sum(0), rtol=1e-5
    )
    assert answer.trust["figures"] == {"n_samples": 3, "same_top": 1.0}


def test_padding_gets_exactly_nothing_and_no_noise():
    embedding, weights = draw.normal(size=(10, 6)), draw.normal(size=(3, 4, 6))
    geometry = Geometry("tokens", None, pad=0)
    subject = linear(weights, geometry=geometry, embedding=embedding)
    seen = []
    score = subject.score
    subject.score = lambda value: seen.append(value) or score(value)
    _, answer = finish(smooth_grad(subject, Question(np.array([[3, 9, 0, 0]])), SmoothGrad(5)))
    assert (answer.values[2:] == 0).all()
    assert (answer.values[:2] > 0).all()
    assert all((value[:, 2:] == embedding[0]).all() for value in seen)
    assert any((value[:, :2] != embedding[[3, 9]]).any() for value in seen)


def test_a_run_that_is_cut_short_answers_the_mean_so_far():
    weights, x = draw.normal(size=(3, 2, 4, 5)), draw.normal(size=(1, 2, 4, 5))
    subject, chosen = cubic(weights, slice_size=8), SmoothGrad(20, seed=3, channels="keep")
    reports, whole = finish(smooth_grad(subject, Question(x, Target(0)), chosen))
    assert [(report.done, report.total) for report in reports] == [
        (0, 21), (1, 21), (9, 21), (17, 21), (21, 21),
    ]  # fmt: skip
    early = reports[2].best()
    assert not early.trust["complete"]
    assert early.trust["figures"]["n_samples"] == 8
    assert early.trust["options"]["n_samples"] == 20
    drawn = np.random.default_rng(3).standard_normal((8, 2, 4, 5)) * 0.15 * np.ptp(x)
    wanted = np.abs((3 * (x + drawn) ** 2 * weights[0]).mean(axis=0))
    np.testing.assert_allclose(early.values, wanted, rtol=1e-5)
    assert whole.trust["complete"]


def test_much_noise_is_drawn_in_parts_between_which_the_clock_is_looked_at(monkeypatch):
    weights, x = draw.normal(size=(3, 2, 4, 5)), draw.normal(size=(1, 2, 4, 5))
    subject, question = cubic(weights), Question(x, Target(1))
    at_once, wanted = finish(smooth_grad(subject, question, SmoothGrad(20)))
    monkeypatch.setattr("candor.explain.smooth_grad._DRAWN", 3 * x.size)
    in_parts, answer = finish(smooth_grad(subject, question, SmoothGrad(20)))
    np.testing.assert_array_equal(answer.values, wanted.values)
    done = [report.done for report in in_parts]
    assert done == sorted(done)
    assert sorted({*done}) == [report.done for report in at_once]
    assert len(in_parts) > 2 * len(at_once)
    assert in_parts[2].best is None  # nothing is known while the first noise is drawn


def test_memory_is_that_of_a_slice_however_many_samples():
    subject = linear(draw.normal(size=(3, 3, 40, 40)))
    question = Question(draw.normal(size=(1, 3, 40, 40)), Target(1))
    few, many = (
        peak_bytes(smooth_grad(subject, question, SmoothGrad(n_samples=n))) for n in (40, 1200)
    )
    assert many < 1.5 * few


def test_noise_that_takes_the_class_away_is_warned_of():
    one, other = np.zeros((2, 1, 1, 2))
    one[0, 0, 0], other[0, 0, 0] = 1.0, -1.0
    subject = linear(np.stack([one, other, np.full_like(one, -9)]))
    x = np.array([[[[1e-3, 1.0]]]])
    calm, wild = (
        finish(smooth_grad(subject, Question(x), SmoothGrad(200, noise)))[1].trust
        for noise in (0.0, 10.0)
    )
    assert not any(text.startswith("noise:") for text in calm["warnings"])
    assert wild["figures"]["same_top"] < 0.5
    assert any(text.startswith("noise: only") for text in wild["warnings"])


def test_a_fresh_seed_is_drawn_once_and_named():
    subject, question = linear(np.ones((3, 2, 4, 5))), Question(np.zeros((1, 2, 4, 5)))
    resolved = resolve(subject, question, SmoothGrad(seed=-1))
    assert resolved.seed >= 0
    assert resolve(subject, question, resolved) == resolved
    assert evaluations(subject, question, SmoothGrad(30)) == 31
