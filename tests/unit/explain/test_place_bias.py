"""Maps that follow the place rather than the row: gradients that fade, maps of the middle."""

import numpy as np
import pytest

from candor.explain.gradient import gradient
from candor.explain.integrated_gradients import integrated_gradients
from candor.explain.occlusion import occlusion
from candor.explain.options import Gradient, IntegratedGradients, Occlusion, SmoothGrad
from candor.explain.place_bias import centre_warnings, fading_warnings
from candor.explain.question import Question
from candor.explain.smooth_grad import smooth_grad
from candor.explain.subject import Geometry
from unit.explain.numpy_subject import linear
from unit.explain.told import finish

SERIES = Geometry("series", 1)
IMAGE = Geometry("image", 0)


def words_of(answer):
    return [warning.split(":")[0] for warning in answer.trust["warnings"]]


def test_a_fall_that_the_content_makes_is_not_taken_for_a_fading():
    steps = np.arange(40)
    assert fading_warnings(0.8**steps, steps, Geometry("series", None))
    event = np.where(steps >= 35, 1.0, 1e-3)  # all at once, late in the row
    noise = np.exp(np.random.default_rng(0).normal(scale=2, size=40))
    assert fading_warnings(event, steps, SERIES) == fading_warnings(noise, steps, SERIES) == []


def test_a_fall_of_less_than_ten_times_is_no_fading():
    steps = np.linspace(0, 1, 20)
    assert fading_warnings(9.0**-steps, steps, SERIES) == []
    assert fading_warnings(11.0**-steps, steps, SERIES)
    assert "from the last to the first" in fading_warnings(11.0**steps, steps, SERIES)[0]


def test_padding_and_what_the_gradient_does_not_reach_are_no_steps():
    fading = 0.7 ** np.arange(12)[:, None] * [1.0, -1.0]
    words, tokens = np.arange(1, 13), Geometry("tokens", None, pad=0)
    (alone,) = fading_warnings(fading, words, tokens)
    assert alone.startswith("fading: from the first to the last step the gradient falls 50.6 times")
    for tail, ids in ((0.0, 1), (5.0, 0)):  # as far as no gradient goes; padding that has some
        longer = np.concatenate([fading, np.full((30, 2), tail)])
        assert fading_warnings(longer, np.append(words, [ids] * 30), tokens) == [alone]
    assert fading_warnings(fading[:7], words[:7], tokens) == [], "too few to tell"
    assert fading_warnings(fading, words, Geometry("tabular", None)) == []
    assert fading_warnings(fading * [np.nan, 1], words, tokens) == []


def bump(height, width, at=(0.5, 0.5), spread=0.25):
    down, across = (
        (np.arange(height) + 0.5) / height - at[0],
        (np.arange(width) + 0.5) / width - at[1],
    )
    return np.exp(-(down[:, None] ** 2 + across**2) / (2 * spread**2))


@pytest.mark.parametrize("shape", [(28, 28), (30, 51), (7, 9)])
def test_a_map_of_the_middle_is_told_from_one_of_a_place(shape):
    assert centre_warnings(bump(*shape), IMAGE)[0].startswith("centre: averaged over 7 x 7")
    for elsewhere in (bump(*shape, at=(0.3, 0.6)), bump(*shape, spread=0.08), -bump(*shape)):
        assert centre_warnings(elsewhere, IMAGE) == []
    even = np.ones(shape)
    assert centre_warnings(even, IMAGE) == centre_warnings(even * np.nan, IMAGE) == []


def test_channels_are_summed_and_other_rows_have_no_middle():
    middle = bump(14, 14)
    kept = np.stack([0.2 * middle, middle], axis=2)
    assert centre_warnings(kept, Geometry("image", 2)) == centre_warnings(middle * 1.2, IMAGE) != []
    assert centre_warnings(middle, SERIES) == centre_warnings(middle[:6, :6], IMAGE) == []


def test_methods_of_pictures_tell_of_the_middle():
    weights = np.stack([bump(16, 16)[None] * k for k in (1.0, 0.5, -1.0)])
    subject = linear(weights)
    x = np.random.default_rng(0).uniform(0.9, 1.1, size=(1, 1, 16, 16))
    found = [
        gradient(subject, [Question(x)], Gradient())[0],
        finish(smooth_grad(subject, Question(x), SmoothGrad(4)))[1],
        finish(integrated_gradients(subject, Question(x), IntegratedGradients(4)))[1],
        finish(occlusion(subject, Question(x), Occlusion()))[1],
    ]
    assert all("centre" in words_of(answer) for answer in found)
