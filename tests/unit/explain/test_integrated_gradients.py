import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor.errors import InvalidOption, InvalidTarget
from candor.explain.integrated_gradients import integrated_gradients
from candor.explain.options import IntegratedGradients
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import NumpySubject, linear, peak_bytes
from unit.explain.told import finish

draw = np.random.default_rng(0)
WEIGHTS = draw.normal(size=(3, 2, 4, 5))
ROW = draw.normal(size=(1, 2, 4, 5))


def polynomial(degree, weights=WEIGHTS):
    """Scores sum(w x^degree): gradients of degree - 1."""
    return NumpySubject(
        lambda x: np.einsum("nchw,kchw->nk", x**degree, weights),
        lambda x, toward: degree * x ** (degree - 1) * np.tensordot(toward, weights, axes=1),
    )


def rectified():
    return NumpySubject(
        lambda x: np.einsum("nchw,kchw->nk", np.maximum(x - 0.31, 0), WEIGHTS),
        lambda x, toward: (x > 0.31) * np.tensordot(toward, WEIGHTS, axes=1),
        slice_size=7,
    )


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(0, 2), st.floats(-1, 1))
def test_polynomials_are_integrated_exactly_by_half_their_degree_in_steps(degree, target, baseline):
    options = IntegratedGradients(n_steps=(degree + 1) // 2, baseline=baseline, channels="keep")
    _, answer = finish(
        integrated_gradients(polynomial(degree), Question(ROW, Target(target)), options)
    )
    want = (WEIGHTS[target] * (ROW**degree - baseline**degree))[0]
    scale = np.abs(want).max() + 1e-9
    np.testing.assert_allclose(answer.values, want, atol=2e-6 * scale)
    assert answer.trust["figures"]["completeness_gap"] < 1e-5 * scale * want.size


def test_values_sum_to_the_change_of_the_target():
    subject = rectified()
    _, answer = finish(
        integrated_gradients(subject, Question(ROW, Target(2, 0)), IntegratedGradients(400))
    )
    ends = subject.predict(np.concatenate([ROW, np.zeros_like(ROW)])).score
    change = (ends[0, 2] - ends[0, 0]) - (ends[1, 2] - ends[1, 0])
    assert answer.trust["figures"]["change"] == pytest.approx(change)
    assert answer.values.sum() == pytest.approx(change, rel=0.01)
    assert answer.trust["warnings"] == []


def test_tolerance_doubles_the_steps_until_the_gap_is_under_it():
    subject = rectified()
    options = IntegratedGradients(n_steps=2, tolerance=0.01)
    reports, answer = finish(integrated_gradients(subject, Question(ROW, Target(1)), options))
    figures = answer.trust["figures"]
    assert figures["relative_completeness_gap"] <= 0.01
    n_steps = figures["n_steps"]
    assert n_steps > 2
    assert n_steps & (n_steps - 1) == 0
    assert answer.trust["n_evaluations"] == subject.n_rows == 2 + 2 * n_steps - 2
    assert reports[-1].done == reports[-1].total == subject.n_rows
    _, alone = finish(
        integrated_gradients(subject, Question(ROW, Target(1)), IntegratedGradients(n_steps))
    )
    np.testing.assert_array_equal(answer.values, alone.values)


def test_a_tolerance_out_of_reach_ends_and_says_so():
    jump = NumpySubject(
        lambda x: (x.sum((1, 2, 3)) > 0.5)[:, None] * np.eye(3)[:1], lambda x, _: np.zeros_like(x)
    )
    options = IntegratedGradients(n_steps=1500, tolerance=0.01)
    jump.slice_size = 4000
    _, answer = finish(
        integrated_gradients(jump, Question(np.ones((1, 2, 4, 5)), Target(0)), options)
    )
    assert answer.trust["figures"]["n_steps"] == 6000
    assert answer.trust["figures"]["relative_completeness_gap"] == 1.0
    assert any(warning.startswith("tolerance: ") for warning in answer.trust["warnings"])


def test_a_wide_gap_is_warned_of():
    _, answer = finish(
        integrated_gradients(polynomial(9), Question(ROW, Target(0)), IntegratedGradients(2))
    )
    assert any(warning.startswith("incomplete: ") for warning in answer.trust["warnings"])


def test_a_row_that_is_its_baseline_has_nothing_to_distribute():
    _, answer = finish(
        integrated_gradients(rectified(), Question(np.zeros_like(ROW)), IntegratedGradients(5))
    )
    assert (answer.values == 0).all()
    assert answer.trust["figures"]["relative_completeness_gap"] == 0.0
    assert answer.trust["warnings"][0].startswith("empty: ")


def test_a_row_that_scores_as_its_baseline_is_warned_of():
    # x (1 - x) (x - 0.3) is 0 at both ends, and one point misses what lies between
    back_again = NumpySubject(
        lambda x: np.einsum("nchw,kchw->nk", x * (1 - x) * (x - 0.3), WEIGHTS),
        lambda x, toward: (-3 * x**2 + 2.6 * x - 0.3) * np.tensordot(toward, WEIGHTS, axes=1),
    )
    question = Question(np.ones_like(ROW), Target(1))
    _, answer = finish(integrated_gradients(back_again, question, IntegratedGradients(1)))
    assert answer.trust["figures"]["change"] == 0.0
    assert [text.split(":")[0] for text in answer.trust["warnings"]] == ["no change"]


def test_the_top_class_is_the_rows_own_even_where_it_changes_on_the_way():
    weights = np.array([[1.0], [3.0]])
    subject = NumpySubject(
        lambda x: x * weights[:, 0] + np.array([0.0, -4.0]),
        lambda x, toward: toward @ weights,
        Geometry("tabular", None),
        n_classes=2,
    )
    _, answer = finish(
        integrated_gradients(subject, Question(np.array([[5.0]])), IntegratedGradients(3))
    )
    assert answer.trust["target"] == {"plus": 1, "minus": None, "top": True}
    np.testing.assert_allclose(answer.values, [15.0], rtol=1e-6)


def test_what_is_known_after_a_slice_is_honest_about_it():
    subject = rectified()
    reports, answer = finish(
        integrated_gradients(subject, Question(ROW, Target(1)), IntegratedGradients(50))
    )
    assert reports[0].best is None
    assert [report.done for report in reports[1:]] == [9, 16, 23, 30, 37, 44, 51, 52]
    first = reports[1].best()
    assert first.trust["complete"] is False
    assert first.trust["n_evaluations"] == 9
    assert first.trust["figures"]["n_steps"] == 7, "done"
    assert first.trust["options"]["n_steps"] == 50, "asked for"
    assert answer.trust["figures"]["n_steps"] == 50
    assert answer.trust["complete"] is True
    scale = np.abs(answer.values).max()
    off = [np.abs(report.best().values - answer.values).max() / scale for report in reports[1:]]
    assert off[0] < 0.5, "seven nodes spread over the whole line are no bad guess"
    assert off[-1] == 0.0


def test_while_doubling_the_last_whole_round_is_the_best_known():
    options = IntegratedGradients(n_steps=8, tolerance=1e-5)
    steps = integrated_gradients(rectified(), Question(ROW, Target(1)), options)
    in_second_round = next(report for report in steps if report.done > 2 + 8)
    assert in_second_round.best().trust["figures"]["n_steps"] == 8
    assert in_second_round.best().trust["n_evaluations"] == in_second_round.done


def test_memory_is_that_of_a_slice_however_many_steps():
    subject = linear(draw.normal(size=(3, 3, 40, 40)))
    question = Question(draw.normal(size=(1, 3, 40, 40)), Target(1))
    few, many = (
        peak_bytes(integrated_gradients(subject, question, IntegratedGradients(n)))
        for n in (40, 1200)
    )
    assert many < 1.5 * few


@pytest.mark.parametrize("slice_size", [1, 3, 100])
def test_slices_do_not_change_the_answer(slice_size):
    subject = rectified()
    subject.slice_size = slice_size
    _, answer = finish(integrated_gradients(subject, Question(ROW), IntegratedGradients(20)))
    _, whole = finish(integrated_gradients(rectified(), Question(ROW), IntegratedGradients(20)))
    np.testing.assert_allclose(answer.values, whole.values, rtol=1e-6)
    assert max(subject.calls) <= max(slice_size, 2)


def test_padding_gets_exactly_zero_and_words_their_share():
    embedding, weights = draw.normal(size=(10, 6)), draw.normal(size=(3, 4, 6))
    geometry = Geometry("tokens", None, pad=0)
    subject = linear(weights, geometry=geometry, embedding=embedding)
    ids = np.array([[3, 9, 0, 0]])
    for baseline in (None, 7.0):
        options = IntegratedGradients(5, baseline=baseline)
        _, answer = finish(integrated_gradients(subject, Question(ids, Target(1)), options))
        absent = embedding[int(baseline or 0)]
        want = (weights[1] * (embedding[ids[0]] - absent)).sum(1)
        np.testing.assert_allclose(answer.values[:2], want[:2], rtol=1e-5)
        assert answer.values[2:].tobytes() == bytes(8), "neither noise nor a negative zero"
        assert answer.trust["options"]["baseline"] == (baseline or 0.0)


def test_a_baseline_or_class_that_does_not_exist_is_refused_before_any_run():
    subject = linear(WEIGHTS)
    with pytest.raises(InvalidTarget):
        finish(integrated_gradients(subject, Question(ROW, Target(5)), IntegratedGradients()))
    tokens = linear(WEIGHTS, geometry=Geometry("tokens", None))
    with pytest.raises(InvalidOption, match="expected a token id"):
        next(integrated_gradients(tokens, Question(ROW), IntegratedGradients(baseline=0.5)))
    assert subject.calls == tokens.calls == []
