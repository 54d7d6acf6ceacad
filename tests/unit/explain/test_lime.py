import json

import numpy as np
import pytest

from candor.errors import InvalidTarget
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.parse import parse_options
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import NumpySubject, linear
from unit.explain.told import finish

draw = np.random.default_rng(0)
SEGMENTS = (np.arange(8)[:, None] // 2 * 3 + np.arange(9) // 3).astype(np.int32)
TRUTH = np.array([0.09, -0.07, 0.05, 0.0, 0.03, -0.02, 0.06, -0.04, 0.08, 0.01, -0.03, 0.02])


def by_segment(seed=0):
    """A model whose score is 0.3 plus the truth of every segment that is still there."""
    x = np.random.default_rng(seed).uniform(0.5, 1.5, (1, 2, 8, 9))
    weights = TRUTH[SEGMENTS] / (x[0] * 2 * 6)
    classes = np.stack([0 * weights, weights, -weights])
    subject = linear(classes, probability=lambda score: score + 0.3)
    return subject, Question(x, Target(1), segments=SEGMENTS)


def test_a_linear_model_of_segments_is_recovered_in_sign_and_order():
    subject, question = by_segment()
    _, answer = finish(lime(subject, question, Lime(baseline="zero")))
    found = np.array(answer.trust["figures"]["coefficients"])
    assert np.argsort(-np.abs(found))[:5].tolist() == np.argsort(-np.abs(TRUTH))[:5].tolist()
    np.testing.assert_allclose(found, TRUTH, atol=0.002)
    np.testing.assert_array_equal(answer.values, found.astype(np.float32)[SEGMENTS])
    np.testing.assert_array_equal(answer.segments, SEGMENTS)
    figures = answer.trust["figures"]
    assert figures["r2"] > 0.999
    assert figures["out_of_sample_r2"] > 0.999
    assert figures["top_k_stability"] == 1.0
    assert figures["segmentation"] == "given"
    assert answer.trust["explained"] == "probability"
    assert answer.trust["warnings"] == []


def test_the_record_is_json_and_repeats_the_call_word_for_word():
    subject, question = by_segment()
    for options in (Lime(n_samples=200), Lime(n_samples=200, seed=-1, baseline=0.25)):
        _, answer = finish(lime(subject, question, options))
        record = json.loads(json.dumps(answer.trust, allow_nan=False))
        assert 0 <= record["options"]["seed"] < 2**32
        again = parse_options("lime", record["options"])
        _, repeated = finish(lime(subject, question, again))
        np.testing.assert_array_equal(repeated.values, answer.values)
        assert repeated.trust == answer.trust


def test_a_seed_of_minus_one_draws_afresh():
    subject, question = by_segment()
    seeds = {
        finish(lime(subject, question, Lime(20, seed=-1)))[1].trust["options"]["seed"]
        for _ in range(4)
    }
    assert len(seeds) == 4


def test_each_distinct_perturbation_is_run_once():
    embedding = draw.normal(size=(10, 6))
    geometry = Geometry("tokens", None, pad=0, unknown=1)
    subject = linear(draw.normal(size=(3, 4, 6)), geometry=geometry, embedding=embedding)
    reports, answer = finish(lime(subject, Question(np.array([[3, 9, 4, 0]])), Lime()))
    assert answer.trust["n_evaluations"] == subject.n_rows == reports[-1].total == 8
    assert answer.trust["figures"]["n_samples"] == 1000
    assert answer.values[3] == 0
    assert answer.segments.tolist() == [0, 1, 2, -1]


def test_what_is_known_after_a_slice_is_the_answer_to_as_many_samples():
    subject, question = by_segment()
    reports, answer = finish(lime(subject, question, Lime(n_samples=100)))
    assert reports[0].best is None
    part = reports[4].best()
    assert part.trust["complete"] is False
    assert part.trust["n_evaluations"] == reports[4].done == 32
    n_samples = part.trust["figures"]["n_samples"]
    assert n_samples >= 32
    _, asked = finish(lime(subject, question, Lime(n_samples=n_samples)))
    np.testing.assert_array_equal(part.values, asked.values)
    assert part.trust["figures"] == asked.trust["figures"]
    assert answer.trust["complete"] is True


def test_repeated_samples_of_what_is_known_are_used_up_to_the_first_unknown():
    subject = linear(draw.normal(size=(3, 5)), geometry=Geometry("tabular", None))
    question = Question(draw.normal(size=(1, 5)))
    reports, _ = finish(lime(subject, question, Lime()))
    part = reports[2].best()
    n_samples = part.trust["figures"]["n_samples"]
    assert part.trust["n_evaluations"] == 16 < n_samples
    _, asked = finish(lime(subject, question, Lime(n_samples)))
    np.testing.assert_array_equal(part.values, asked.values)
    _, one_more = finish(lime(subject, question, Lime(n_samples + 1)))
    assert one_more.trust["n_evaluations"] == 17


def test_many_samples_are_drawn_in_slices_before_any_is_run():
    subject, question = by_segment()
    steps = lime(subject, question, Lime(2500))
    reports = [next(steps) for _ in range(3)]
    assert subject.calls == []
    _, answer = finish(steps)
    n_runs = answer.trust["n_evaluations"]
    assert [(each.done, each.total) for each in reports] == [(0, 2500)] * 2 + [(0, n_runs)]


@pytest.mark.parametrize("slice_size", [1, 3, 1000])
def test_slices_do_not_change_the_answer(slice_size):
    subject, question = by_segment()
    _, whole = finish(lime(subject, question, Lime(60)))
    subject.slice_size = slice_size
    _, answer = finish(lime(subject, question, Lime(60)))
    np.testing.assert_allclose(answer.values, whole.values, atol=1e-12)


def test_a_difference_is_explained_as_the_difference_of_probabilities():
    subject, question = by_segment()
    difference = Question(question.x, Target(1, 2), segments=SEGMENTS)
    _, answer = finish(lime(subject, difference, Lime(baseline="zero")))
    np.testing.assert_allclose(answer.trust["figures"]["coefficients"], 2 * TRUTH, atol=0.004)


def test_a_sentence_without_words_is_answered_not_refused():
    geometry = Geometry("tokens", None, pad=0, unknown=1)
    subject = linear(np.ones((3, 4, 6)), geometry=geometry, embedding=np.ones((10, 6)))
    _, answer = finish(lime(subject, Question(np.zeros((1, 4), int)), Lime()))
    assert answer.values.tolist() == [0, 0, 0, 0]
    assert answer.trust["n_evaluations"] == subject.n_rows == 1
    assert answer.trust["figures"]["n_segments"] == 0
    assert answer.trust["warnings"][0].startswith("empty: ")


def test_one_word_is_answered():
    geometry = Geometry("tokens", None, pad=0, unknown=1)
    embedding = draw.normal(size=(10, 6))
    subject = linear(np.ones((3, 1, 6)), geometry=geometry, embedding=embedding)
    _, answer = finish(lime(subject, Question(np.array([[4]])), Lime()))
    assert np.isfinite(answer.values).all()
    json.dumps(answer.trust, allow_nan=False)


def test_features_are_replaced_by_zero_where_their_own_mean_would_change_nothing():
    weights = draw.normal(size=(3, 5))
    subject = linear(weights, geometry=Geometry("tabular", None), probability=lambda s: s)
    x = draw.normal(size=(1, 5))
    _, answer = finish(lime(subject, Question(x, Target(2)), Lime()))
    assert answer.trust["options"]["baseline"] == "zero"
    assert answer.trust["warnings"][-1].startswith("no statistics: ")
    np.testing.assert_allclose(answer.values, weights[2] * x[0], rtol=0.05)


def warnings_of(subject, question, options):
    _, answer = finish(lime(subject, question, options))
    return [warning.split(":")[0] for warning in answer.trust["warnings"]]


def test_what_cannot_be_trusted_is_said():
    subject, question = by_segment()
    noise = NumpySubject(
        lambda x: np.random.default_rng(int(abs(x).sum() * 1e6)).random((len(x), 3)),
        probability=lambda score: score,
    )
    assert "few samples" in warnings_of(subject, question, Lime(10))
    assert "poor fit" in warnings_of(noise, question, Lime(300))
    pixels = Question(question.x, segments=np.arange(72).reshape(8, 9))
    assert "unstable" in warnings_of(noise, pixels, Lime(100, baseline="zero"))
    flat = linear(np.zeros((3, 2, 8, 9)))
    assert warnings_of(flat, question, Lime(50)) == ["empty", "flat"]
    still = Question(np.zeros((1, 2, 8, 9)), segments=SEGMENTS)
    assert "still" in warnings_of(subject, still, Lime(50, baseline="zero"))
    top = Question(question.x, segments=SEGMENTS)
    sure = NumpySubject(lambda x: np.tile([50.0, 0.0, 0.0], (len(x), 1)))
    assert warnings_of(sure, top, Lime(50))[0] == "saturated"
    score = Question(question.x, explained="score", segments=SEGMENTS)
    assert "saturated" not in warnings_of(sure, score, Lime(50))


def test_a_class_that_does_not_exist_is_refused():
    subject, question = by_segment()
    with pytest.raises(InvalidTarget):
        next(lime(subject, Question(question.x, Target(3)), Lime(10)))
    assert subject.calls == []


@pytest.mark.parametrize(("axis", "shape"), [(1, (5, 2)), (0, (2, 5))])
def test_a_short_series_is_explained_where_each_slice_is_one_step(axis, shape):
    weights = np.zeros((2, *shape))
    at = (3, 0) if axis == 1 else (0, 3)
    weights[(1, *at)] = 1.0
    subject = linear(weights, geometry=Geometry("series", axis), probability=lambda s: s / 100)
    x = draw.normal(size=(1, *shape))
    _, answer = finish(lime(subject, Question(x, Target(1)), Lime()))
    change = (x[0][at] - x[0].mean(1 - axis)[0]) / 100
    np.testing.assert_allclose(answer.values, [0, 0, 0, change, 0], atol=0.02 * abs(change))
    assert answer.trust["warnings"] == []


def test_what_cannot_change_is_run_once():
    subject, _ = by_segment()
    still = Question(np.zeros((1, 2, 8, 9)), Target(1), segments=SEGMENTS)
    reports, answer = finish(lime(subject, still, Lime(baseline="zero")))
    assert answer.trust["n_evaluations"] == subject.n_rows == reports[-1].total == 1
    assert answer.trust["figures"]["n_samples"] == 1
    assert answer.trust["figures"]["coefficients"] == [0.0] * 12
    assert [warning.split(":")[0] for warning in answer.trust["warnings"]] == ["empty", "still"]
    json.dumps(answer.trust, allow_nan=False)


def test_a_picture_that_looks_like_one_region_is_answered_with_the_cure():
    subject = linear(np.ones((3, 1, 8, 8)), probability=lambda score: score / 100)
    plain = Question(np.ones((1, 1, 8, 8)), Target(1))
    options = Lime(50, segments="quickshift", baseline="zero")
    _, answer = finish(lime(subject, plain, options))
    assert answer.trust["figures"]["n_segments"] == 1
    assert answer.trust["warnings"][0].startswith("constant: ")
    assert answer.trust["warnings"][0].endswith("; use segments=grid")
    whole = Question(plain.x, Target(1), segments=np.zeros((8, 8), int))
    _, answer = finish(lime(subject, whole, options))
    assert "grid" not in answer.trust["warnings"][0]


def noisy(seed=0):
    """As `by_segment`, with interactions: which segments lead takes a while to tell."""
    subject, question = by_segment(seed)
    exact = subject.probability

    def bent(score):
        found = exact(score)
        return found + 0.05 * np.sin(400 * found)

    subject.probability = bent
    return subject, question


def test_a_tolerance_stops_at_the_first_look_at_what_is_clear():
    subject, question = by_segment()
    reports, answer = finish(lime(subject, question, Lime(5000, tolerance=0.2, baseline="zero")))
    figures = answer.trust["figures"]
    assert 100 <= figures["n_samples"] < 130
    assert answer.trust["n_evaluations"] == subject.n_rows == 100
    assert answer.trust["complete"]
    assert reports[-1].done < reports[-1].total
    _, fewer = finish(lime(subject, question, Lime(figures["n_samples"], baseline="zero")))
    assert figures["coefficients"] == pytest.approx(
        fewer.trust["figures"]["coefficients"], abs=0.01
    )


def test_a_smaller_tolerance_takes_more_samples_and_keeps_its_word():
    counts = []
    for tolerance in (0.6, 0.2):
        subject, question = noisy()
        _, answer = finish(lime(subject, question, Lime(5000, tolerance=tolerance)))
        assert 1 - answer.trust["figures"]["top_k_stability"] <= tolerance
        counts.append(answer.trust["figures"]["n_samples"])
    assert counts[0] < counts[1] < 5000


def test_a_tolerance_that_is_not_reached_is_warned_of():
    subject, question = noisy()
    _, answer = finish(lime(subject, question, Lime(150, tolerance=0.0)))
    assert answer.trust["figures"]["n_samples"] == 150
    assert any(text.startswith("tolerance: 0 was not") for text in answer.trust["warnings"])
