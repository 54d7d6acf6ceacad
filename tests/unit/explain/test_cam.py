import numpy as np
import pytest

from candor.errors import InvalidOption
from candor.explain.cam import cam
from candor.explain.options import Cam, GradCam
from candor.explain.question import Question
from candor.result import Target
from unit.explain.numpy_subject import linear

draw = np.random.default_rng(0)
WEIGHTS = draw.normal(size=(3, 2, 4, 5))


def questions():
    targets = [Target(0), Target(0, 1), Target(1)]
    return [Question(draw.normal(size=(1, 2, 4, 5)), target) for target in targets]


@pytest.mark.parametrize("kind", [Cam, GradCam])
def test_a_batch_is_one_run_with_each_row_its_own_target(kind):
    subject, asked = linear(WEIGHTS), questions()
    answers = cam(subject, asked, kind(layer="relu_3"))
    assert subject.calls == [3]
    for question, answer in zip(asked, answers, strict=True):
        toward = 1.0 if question.target.plus == 0 else 0.0
        np.testing.assert_allclose(answer.values, question.x[0, 0] * toward, rtol=1e-6)
        assert answer.trust["options"] == {"layer": "relu_3", "normalise": True}
        assert answer.trust["target"]["plus"] == question.target.plus
    assert [answer.method for answer in answers] == [answers[0].trust["method"]] * 3


def test_the_layer_left_to_the_model_stands_in_the_record():
    (answer,) = cam(linear(WEIGHTS), questions()[:1], GradCam())
    assert answer.trust["options"]["layer"] == "last for grad_cam"
    assert answer.method == "grad_cam"


def test_a_raw_map_is_asked_of_the_graph():
    asked = questions()[:1]
    (scaled,) = cam(linear(WEIGHTS), asked, Cam())
    (raw,) = cam(linear(WEIGHTS), asked, Cam(normalise=False))
    np.testing.assert_allclose(raw.values, scaled.values * 10, rtol=1e-6)


def test_an_empty_map_is_warned_of():
    (answer,) = cam(linear(WEIGHTS), questions()[2:], GradCam())
    assert answer.trust["warnings"] == [
        "empty: every value is zero, no place of the layer speaks for the target; what speaks "
        "against it is cut off"
    ]


def test_probabilities_are_refused_with_what_can_explain_them():
    question = Question(draw.normal(size=(1, 2, 4, 5)), explained="probability")
    with pytest.raises(InvalidOption, match=r"grad_cam explains the score; .* gradient"):
        cam(linear(WEIGHTS), [question], GradCam())
