import numpy as np
import pytest

from candor.errors import InternalError, InvalidTarget
from candor.explain.gradient import gradient
from candor.explain.options import Gradient
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import NumpySubject, linear

draw = np.random.default_rng(0)
WEIGHTS = draw.normal(size=(3, 2, 4, 5))


def rows(n=4):
    return draw.normal(size=(n, 1, 2, 4, 5))


def test_reduction_comes_before_the_sum_over_channels():
    x = rows(1)[0]

    def values(**options):
        (answer,) = gradient(linear(WEIGHTS), [Question(x, Target(1))], Gradient(**options))
        return answer.values

    np.testing.assert_allclose(values(), np.abs(WEIGHTS[1]).sum(0), rtol=1e-6)
    np.testing.assert_allclose(values(reduction="signed"), WEIGHTS[1].sum(0), rtol=1e-5)
    np.testing.assert_allclose(values(reduction="squared"), (WEIGHTS[1] ** 2).sum(0), rtol=1e-6)
    np.testing.assert_allclose(
        values(times_input=True), np.abs(WEIGHTS[1] * x[0]).sum(0), rtol=1e-6
    )
    assert values(channels="keep").shape == (2, 4, 5)
    assert values().dtype == np.float32


def test_a_batch_is_one_run_and_equals_its_rows_alone():
    subject = linear(WEIGHTS)
    targets = [Target(), Target(2), Target(1, 0), Target()]
    questions = [Question(x, target) for x, target in zip(rows(), targets, strict=True)]
    batch = gradient(subject, questions, Gradient())
    assert subject.calls == [4]
    for question, answer in zip(questions, batch, strict=True):
        (single,) = gradient(subject, [question], Gradient())
        np.testing.assert_array_equal(answer.values, single.values)
        assert answer.trust == single.trust


def test_the_top_class_against_another_counts_the_prediction_that_found_it():
    subject = linear(WEIGHTS)
    x = rows(1)[0]
    lowest = int(subject.predict(x).score[0].argmin())
    subject.calls.clear()
    (answer,) = gradient(subject, [Question(x, Target(None, lowest))], Gradient())
    assert answer.trust["n_evaluations"] == subject.n_rows == 2
    assert answer.trust["target"]["top"] is True
    assert answer.trust["target"]["minus"] == lowest


def test_the_record_names_the_top_class_and_what_the_model_says_of_it():
    subject = linear(WEIGHTS)
    x = rows(1)[0]
    scores = subject.predict(x)
    (answer,) = gradient(subject, [Question(x)], Gradient())
    top = int(scores.score[0].argmax())
    assert answer.trust["target"] == {"plus": top, "minus": None, "top": True}
    assert answer.trust["score"] == pytest.approx(scores.score[0, top])
    assert answer.trust["probability"] == pytest.approx(scores.probability[0, top])
    assert answer.trust["explained"] == "score"
    assert answer.trust["n_evaluations"] == 1


def test_the_probabilitys_gradient_is_the_scores_through_the_softmax():
    subject = linear(WEIGHTS)
    x = rows(1)[0]
    p = subject.predict(x).probability[0]
    question = Question(x, Target(1), "probability")
    (answer,) = gradient(subject, [question], Gradient(reduction="signed", channels="keep"))
    want = p[1] * (WEIGHTS[1] - np.tensordot(p, WEIGHTS, axes=1))
    np.testing.assert_allclose(answer.values, want, rtol=1e-5)


def test_one_batch_explains_one_thing():
    questions = [
        Question(x, explained=what) for x, what in zip(rows(2), (None, "probability"), strict=True)
    ]
    with pytest.raises(InternalError):
        gradient(linear(WEIGHTS), questions, Gradient())


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(InvalidTarget, match="class 9 does not exist"):
        gradient(linear(WEIGHTS), [Question(rows(1)[0], Target(9))], Gradient())


def test_tokens_are_summed_over_their_embedding():
    embedding = draw.normal(size=(10, 6))
    weights = draw.normal(size=(3, 4, 6))
    subject = linear(weights, geometry=Geometry("tokens", None, pad=0), embedding=embedding)
    ids = np.array([[3, 9, 1, 0]])
    (summed,) = gradient(subject, [Question(ids, Target(0))], Gradient(times_input=True))
    np.testing.assert_allclose(
        summed.values[:3], np.abs(weights[0] * embedding[ids[0]]).sum(1)[:3], rtol=1e-6
    )
    assert summed.values[3] == 0, "padding gets nothing"
    (kept,) = gradient(subject, [Question(ids, Target(0))], Gradient(channels="keep"))
    assert kept.values.shape == (4, 6)


def test_a_gradient_of_nothing_is_warned_of():
    flat = NumpySubject(lambda x: np.zeros((len(x), 3)), lambda x, _: np.zeros_like(x))
    (answer,) = gradient(flat, [Question(rows(1)[0])], Gradient())
    assert answer.trust["warnings"][0].startswith("empty: ")
