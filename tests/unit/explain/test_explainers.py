import json
from dataclasses import replace

import numpy as np
import pytest

from candor.errors import InvalidInput
from candor.explain.explainers import BULK, INTERACTIVE, evaluations, resolve
from candor.explain.options import (
    METHODS,
    Cam,
    GradCam,
    Gradient,
    IntegratedGradients,
    Lime,
    Occlusion,
)
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import linear
from unit.explain.told import finish

draw = np.random.default_rng(0)
EVERY = [
    Cam(),
    GradCam(layer="relu"),
    Gradient(),
    IntegratedGradients(12),
    Occlusion(),
    Occlusion((5,), (2,)),
    Lime(120, n_segments=12),
    Lime(120, seed=3, baseline="blur"),
]


def picture():
    return linear(draw.normal(size=(3, 2, 16, 24))), Question(draw.normal(size=(1, 2, 16, 24)))


def test_every_method_is_explained_in_one_way():
    assert set(INTERACTIVE) | set(BULK) == set(METHODS.values())
    assert not set(INTERACTIVE) & set(BULK)


def run(subject, question, options):
    if type(options) in INTERACTIVE:
        return INTERACTIVE[type(options)](subject, [question], options)[0]
    return finish(BULK[type(options)](subject, question, options))[1]


@pytest.mark.parametrize("options", EVERY, ids=repr)
def test_cost_is_known_before_any_run(options):
    subject, question = picture()
    expected = evaluations(subject, question, options)
    assert subject.calls == []
    answer = run(subject, question, options)
    assert answer.trust["n_evaluations"] == subject.n_rows
    if isinstance(options, Lime):
        assert 0.9 * expected < subject.n_rows <= expected, "repeated masks are run once"
    else:
        assert subject.n_rows == expected


@pytest.mark.parametrize("options", EVERY, ids=repr)
def test_resolving_is_free_and_settles_everything(options):
    subject, question = picture()
    resolved = resolve(subject, question, options)
    assert subject.calls == []
    assert resolve(subject, question, resolved) == resolved
    np.testing.assert_array_equal(
        run(subject, question, resolved).values, run(subject, question, options).values
    )


def test_equal_explanations_resolve_alike():
    subject, question = picture()
    explicit = Occlusion((2, 3), (1, 1), baseline=0.0)
    assert resolve(subject, question, Occlusion()) == resolve(subject, question, explicit)
    assert resolve(subject, question, Lime()) == resolve(subject, question, Lime(segments="slic"))


@pytest.mark.parametrize("options", EVERY[2:], ids=repr)
def test_attributions_are_float32_and_aligned_in_every_layout(options):
    for geometry, row in (
        (Geometry("image", 0), (2, 16, 24)),
        (Geometry("image", 2), (16, 24, 2)),
        (Geometry("series", 1), (24, 2)),
        (Geometry("tabular", None), (24,)),
    ):
        if isinstance(options, Lime) and options.baseline == "blur" and geometry.kind == "tabular":
            continue
        subject = linear(draw.normal(size=(3, *row)), geometry=geometry)
        answer = run(subject, Question(draw.normal(size=(1, *row)).astype(np.float32)), options)
        shape = tuple(n for axis, n in enumerate(row) if axis != geometry.channel_axis)
        assert answer.values.shape == shape
        assert answer.values.dtype == np.float32
        assert np.isfinite(answer.values).all()
        if answer.segments is not None:
            assert answer.segments.shape == shape
            assert answer.segments.dtype == np.int32


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"cam"}))
def test_no_method_explains_a_row_that_overflows_the_model(method):
    subject = linear(np.ones((3, 2, 8, 9)), probability=lambda score: score)
    subject.score = lambda x: np.full((len(x), 3), np.nan)
    question = Question(np.ones((1, 2, 8, 9)), Target(1), segments=np.arange(72).reshape(8, 9) // 9)
    options = METHODS[method]()
    kind = type(options)
    with pytest.raises(InvalidInput, match="not finite for this input"):
        _ = (
            INTERACTIVE[kind](subject, [question], options)
            if kind in INTERACTIVE
            else finish(BULK[kind](subject, question, options))
        )


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "lime"])
def test_a_baseline_that_the_model_has_no_number_for_is_refused(method):
    subject = linear(np.ones((3, 2, 8, 9)), probability=lambda score: score)
    whole = subject.score
    subject.score = lambda x: np.where((x == 0).any((1, 2, 3))[:, None], np.nan, whole(x))
    question = Question(np.ones((1, 2, 8, 9)), Target(1), segments=np.arange(72).reshape(8, 9) // 9)
    options = replace(METHODS[method](), baseline="zero" if method == "lime" else 0.0)
    with pytest.raises(InvalidInput, match=r"not finite \(nan\) .*; use another baseline"):
        finish(BULK[type(options)](subject, question, options))


def test_a_derivative_that_is_no_number_ends_the_doubling_and_is_warned_of():
    subject = linear(np.ones((3, 2, 8, 9)))
    subject.pull_back = lambda x, toward: np.full(x.shape, np.nan)
    question = Question(np.ones((1, 2, 8, 9)), Target(1))
    options = METHODS["integrated_gradients"](n_steps=8, tolerance=0.01)
    _, answer = finish(BULK[type(options)](subject, question, options))
    assert answer.trust["n_evaluations"] == 10
    assert answer.trust["warnings"] == [answer.trust["warnings"][0]]
    assert answer.trust["warnings"][0].startswith("not finite: 72 of 72")
    json.dumps(answer.trust, allow_nan=False)
