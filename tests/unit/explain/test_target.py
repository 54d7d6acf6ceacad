import numpy as np
import pytest

from candor.errors import InvalidInput, InvalidTarget
from candor.explain.target import Aim, aim, directions, fixed, measure, outcome
from candor.result import Scores, Target
from unit.explain.numpy_subject import linear

SCORES = Scores(
    np.array([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]]), np.array([[0.1, 0.6, 0.3], [0.7, 0.1, 0.2]])
)


def test_the_top_class_is_each_rows_own():
    assert aim(Target(), SCORES) == Aim(1, None, top=True)
    assert aim(Target(), SCORES, row=1) == Aim(0, None, top=True)
    assert aim(Target(2), SCORES) == Aim(2, None, top=False)
    assert aim(Target(None, 2), SCORES) == Aim(1, 2, top=True)


@pytest.mark.parametrize("target", [Target(3), Target(-1), Target(0, 3), Target(None, 7)])
def test_a_class_that_does_not_exist_is_refused(target):
    with pytest.raises(InvalidTarget, match=r"does not exist: the model has classes 0 to 2"):
        fixed(target, 3)


def test_a_class_is_not_compared_with_itself():
    with pytest.raises(InvalidTarget, match="class 1 is compared with itself"):
        fixed(Target(1, 1), 3)
    with pytest.raises(InvalidTarget, match="class 1 is this row's top class"):
        aim(Target(None, 1), SCORES)


def test_a_difference_is_measured_as_one():
    difference = Aim(0, 2, top=False)
    np.testing.assert_allclose(measure(difference, SCORES, "score"), [-1.0, 1.0])
    np.testing.assert_allclose(measure(difference, SCORES, "probability"), [-0.2, 0.5])
    stands = outcome(difference, SCORES, "probability", row=1)
    assert (stands.score, round(stands.probability, 12)) == (1.0, 0.5)


def test_top_classes_are_left_to_the_graph():
    subject = linear(np.eye(3)[:, :, None, None])
    x = np.array([1.0, 3.0, 2.0]).reshape(1, 3, 1, 1).repeat(3, axis=0)
    rows, n_runs = directions(subject, x, [Target(), Target(2), Target(0, 1)])
    np.testing.assert_array_equal(rows, [[0, 0, 0], [0, 0, 1], [1, -1, 0]])
    assert rows.dtype == np.float32
    assert (n_runs, subject.calls) == (0, [])


def test_top_against_another_costs_one_prediction_of_the_batch():
    subject = linear(np.eye(3)[:, :, None, None])
    x = np.array([1.0, 3.0, 2.0]).reshape(1, 3, 1, 1).repeat(2, axis=0)
    rows, n_runs = directions(subject, x, [Target(None, 0), Target()])
    np.testing.assert_array_equal(rows, [[-1, 1, 0], [0, 1, 0]])
    assert (n_runs, subject.calls) == (1, [2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_not_explained(wrong):
    score = Scores(np.array([[1.0, wrong, 0.0]]), np.array([[0.5, 0.1, 0.4]]))
    with pytest.raises(InvalidInput, match="the model's scores are not finite for this input"):
        outcome(Aim(1, None, top=False), score, "score")
    probability = Scores(np.zeros((1, 3)), np.array([[0.5, wrong, 0.4]]))
    with pytest.raises(InvalidInput, match=f"probability {wrong:g} of the target"):
        outcome(Aim(1, None, top=False), probability, "probability")


def test_a_row_with_a_score_that_is_no_number_has_no_top_class():
    scores = Scores(np.array([[1.0, np.nan, 0.0]]), np.full((1, 3), np.nan))
    for target in (Target(), Target(None, 1)):
        with pytest.raises(InvalidInput, match="score nan"):
            aim(target, scores)
    with pytest.raises(InvalidInput, match="score nan"):
        outcome(Aim(0, None, top=False), scores, "score")


def test_a_class_that_the_model_excludes_has_a_probability_to_explain():
    scores = Scores(np.array([[1.0, -np.inf, 0.0]]), np.array([[0.7, 0.0, 0.3]]))
    stands = outcome(Aim(1, None, top=False), scores, "probability")
    assert stands.probability == 0.0
    assert outcome(aim(Target(), scores), scores, "score").score == 1.0
