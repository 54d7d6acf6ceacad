"""Full trust on subjects in numpy: what it adds, at what cost, and where it has no number."""

import json
from dataclasses import replace

import numpy as np
import pytest

from candor.errors import InvalidInput
from candor.explain.examination import FIGURES, N_REMOVALS
from candor.explain.explainers import evaluations, in_slices, resolve
from candor.explain.options import (
    GradCam,
    Gradient,
    IntegratedGradients,
    Lime,
    Occlusion,
    SmoothGrad,
)
from candor.explain.question import Question
from candor.explain.repeats import N_NOISY
from candor.geometry import CategoryColumn, Geometry, NumberColumn
from candor.result import Target
from unit.explain.numpy_subject import NumpySubject, linear
from unit.explain.told import finish

SHARES = Gradient("signed", times_input=True)
EVERY = [
    GradCam(layer="relu"),
    Gradient(),
    SHARES,
    SmoothGrad(6),
    IntegratedGradients(12),
    Occlusion(),
    Lime(60, n_segments=12),
]


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def picture(draw, trust="full"):
    subject = linear(0.05 * draw.normal(size=(3, 2, 16, 24)))
    return subject, Question(draw.normal(size=(1, 2, 16, 24)), Target(0), trust=trust)


def asked_fully(subject, question, options):
    return finish(in_slices(subject, question, options))


@pytest.mark.parametrize("options", EVERY, ids=repr)
def test_every_method_is_examined_at_a_cost_known_before(draw, options):
    subject, question = picture(draw)
    expected = evaluations(subject, question, options)
    assert subject.calls == []
    reports, answer = asked_fully(subject, question, options)
    assert answer.trust["n_evaluations"] == subject.n_rows
    assert subject.n_rows <= expected
    if not isinstance(options, Lime):  # whose repeated masks are run once
        assert subject.n_rows == expected
    assert all(report.done <= report.total for report in reports)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    for figure in FIGURES:
        measured = answer.trust["figures"][figure] is not None
        assert measured != (figure in answer.trust["examined"]["not_measured"])
    json.dumps(answer.trust, allow_nan=False)


@pytest.mark.parametrize("options", EVERY, ids=repr)
def test_the_map_itself_and_its_own_figures_stay_what_they_are(draw, options):
    subject, question = picture(draw)
    _, full = asked_fully(subject, question, options)
    _, basic = asked_fully(subject, replace(question, trust="basic"), options)
    np.testing.assert_array_equal(full.values, basic.values)
    assert basic.trust["trust"] == "basic"
    assert full.trust["trust"] == "full"
    assert full.trust["figures"].items() >= basic.trust["figures"].items()
    same = {"method", "options", "target", "explained", "score", "probability", "warnings"}
    assert {name: full.trust[name] for name in same} == {name: basic.trust[name] for name in same}


def test_the_record_repeats_the_examination_word_for_word(draw):
    subject, question = picture(draw)
    _, first = asked_fully(subject, question, SmoothGrad(4, seed=-1))
    again = SmoothGrad(**first.trust["options"])
    _, second = asked_fully(subject, question, again)
    assert second.trust == first.trust
    _, other = asked_fully(
        subject, question, SmoothGrad(4, seed=first.trust["examined"]["seed"] ^ 1)
    )
    assert other.trust["figures"]["infidelity"] == first.trust["figures"]["infidelity"] is None
    assert (
        other.trust["figures"]["relative_infidelity"]
        != (first.trust["figures"]["relative_infidelity"])
    )


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry("image", 0),
        Geometry("image", 2),
        Geometry("series", 1),
        Geometry("series", None),
        Geometry("tabular", None),
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [SHARES, IntegratedGradients(3)], ids=repr)
def test_shares_of_a_linear_score_miss_nothing(draw, geometry, options):
    shape = {"image": (2, 9, 7), "tabular": (11,)}.get(geometry.kind, (30, 3))
    if geometry == Geometry("series", None):
        shape = (30,)
    if geometry.channel_axis == 2:
        shape = (9, 7, 2)
    subject = linear(draw.normal(size=(3, *shape)), geometry=geometry)
    question = Question(draw.normal(size=(1, *shape)), Target(1), trust="full")
    figures = asked_fully(subject, question, options)[1].trust["figures"]
    assert figures["infidelity"] == pytest.approx(0, abs=1e-9)
    assert figures["relative_infidelity"] == pytest.approx(0, abs=1e-6)
    assert figures["faithfulness_correlation"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("channels", ["sum", "keep"])
def test_slopes_are_multiplied_with_the_change_of_each_channel(draw, channels):
    subject = linear(draw.normal(size=(3, 2, 9, 7)))
    question = Question(draw.normal(size=(1, 2, 9, 7)), Target(1), trust="full")
    trust = asked_fully(subject, question, Gradient("signed", channels=channels))[1].trust
    if channels == "keep":
        assert trust["figures"]["infidelity"] == pytest.approx(0, abs=1e-9)
        assert trust["figures"]["max_sensitivity"] == 0.0, "a linear score has one gradient"
    else:
        assert trust["figures"]["relative_infidelity"] is None
        assert "channels=keep" in trust["examined"]["not_measured"]["infidelity"]


def test_the_parts_of_a_segment_add_up_to_its_coefficient(draw):
    """A score that is linear in segments is LIME's own model; probability = score here."""
    groups = np.arange(72).reshape(8, 9) // 12
    subject = linear(np.ones((3, 1, 8, 9)) * [[[[1]]], [[[2]]], [[[3]]]], probability=lambda s: s)
    x = draw.normal(size=6)[groups][None, None]
    options = Lime(4000, baseline=0.0)
    question = Question(x, Target(1), segments=groups, trust="full")
    figures = asked_fully(subject, question, options)[1].trust["figures"]
    assert figures["relative_infidelity"] < 1e-4, "what is left is the ridge's penalty"


def test_tokens_have_no_neighbours_and_padding_is_never_removed(draw):
    words = draw.normal(size=(30, 5))
    subject = linear(
        draw.normal(size=(3, 12, 5)), geometry=Geometry("tokens", None, pad=0, unknown=1)
    )
    subject = replace(subject, embedding=words)
    ids = np.array([[7, 3, 9, 4, 5, 0, 0, 0, 0, 0, 0, 0]])
    _, answer = asked_fully(subject, Question(ids, trust="full"), SHARES)
    examined = answer.trust["examined"]
    assert examined["n_steps"] == 5
    assert examined["deletion"][0] == examined["insertion"][-1]
    assert examined["deletion"][-1] == examined["insertion"][0]
    assert list(examined["not_measured"]) == ["max_sensitivity"]
    assert "int64" in examined["not_measured"]["max_sensitivity"]
    assert answer.trust["figures"]["infidelity"] is not None


def test_a_record_is_measured_by_what_the_training_data_had_in_each_column(draw):
    number = NumberColumn(40.0, 10.0, 17.0, 90.0, (40.0,), (5, 5), (30.0, 50.0), (5.0, 5.0))
    category = CategoryColumn((0.0, 1.0, 2.0), (3.0, 9.0, 1.0))
    geometry = Geometry("tabular", None, columns=(number, category))
    shown = []

    weights = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, 1.0]])

    def score(x):
        shown.append(x)
        return x @ weights

    subject = NumpySubject(score, lambda _, toward: toward @ weights.T, geometry)
    x = np.array([[52.0, 2.0]])
    _, answer = asked_fully(subject, Question(x, Target(0), trust="full"), Gradient("signed"))
    examined = answer.trust["examined"]
    assert examined["baseline"] == examined["insertion_baseline"] == "typical"
    assert examined["radius"] == [pytest.approx(0.02 * 73), 0.0]
    seen = np.concatenate(shown)
    assert set(seen[:, 1]) == {2.0, 1.0}, "as it is, or the most frequent; never a noisy category"
    noisy = ~np.isin(seen[:, 0], [52.0, 40.0])
    assert noisy.sum() == N_NOISY
    assert np.abs(seen[noisy, 0] - 52).max() <= 0.02 * 73


def test_a_map_that_says_nothing_is_not_given_a_figure(draw):
    subject = linear(np.zeros((3, 2, 8, 9)))
    _, answer = asked_fully(subject, Question(draw.normal(size=(1, 2, 8, 9)), trust="full"), SHARES)
    assert all(answer.trust["figures"][name] in (None, 0.0) for name in FIGURES)
    assert set(answer.trust["examined"]["not_measured"]) == set(FIGURES) - {"infidelity"}


def test_a_model_that_overflows_at_the_baseline_costs_a_figure_and_not_the_answer(draw):
    subject, question = picture(draw)
    plain = subject.perturb

    def perturb(x, baseline, segments, masks):
        if not masks.all():
            raise InvalidInput("the model's scores are not finite")
        return plain(x, baseline, segments, masks)

    subject.perturb = perturb
    _, answer = asked_fully(subject, question, Gradient())
    assert answer.trust["figures"]["max_sensitivity"] is not None
    reasons = answer.trust["examined"]["not_measured"]
    assert set(reasons) == set(FIGURES) - {"max_sensitivity", "class_correlation"}
    assert "not finite" in reasons["deletion_auc"]


def test_the_best_so_far_has_the_figures_that_are_done(draw):
    subject, question = picture(draw)
    reports = []
    steps = in_slices(subject, question, Gradient())
    for report in steps:
        best = None if report.best is None else report.best()
        reports.append((report, best))
        if best is not None:
            assert best.trust["complete"] is False
            missing = {name for name in FIGURES if best.trust["figures"][name] is None}
            assert missing == set(best.trust["examined"]["not_measured"])
    n_known = [
        sum(best.trust["figures"][name] is not None for name in FIGURES)
        for _, best in reports
        if best is not None
    ]
    assert n_known[0] == 0
    assert n_known == sorted(n_known)
    assert len(reports) > 10, "the work is cut into slices"


def test_the_noise_keeps_to_the_class_that_was_explained(draw):
    subject, question = picture(draw)
    question = replace(question, target=Target())
    asked = []
    plain = subject.gradient

    def gradient(x, direction, explained):
        asked.append(direction[0].tolist())
        return plain(x, direction, explained)

    subject.gradient = gradient
    _, answer = asked_fully(subject, question, Gradient())
    one_hot = [float(k == answer.trust["target"]["plus"]) for k in range(3)]
    assert asked[:-1] == [[0.0, 0.0, 0.0], *[one_hot] * N_NOISY], "the last is another class"


def test_the_number_of_runs_does_not_depend_on_the_size_of_the_row(draw):
    costs = []
    for side in (8, 64):
        subject = linear(draw.normal(size=(3, 1, side, side)))
        question = Question(draw.normal(size=(1, 1, side, side)), trust="full")
        costs.append(evaluations(subject, question, resolve(subject, question, Gradient())))
    n_steps = {8: 22, 64: 28}
    assert costs == [1 + 2 * (n_steps[side] + 1) + N_REMOVALS + 1 + N_NOISY + 2 for side in (8, 64)]


def test_a_budget_that_ends_closes_the_method(draw):
    subject, question = picture(draw)
    steps = in_slices(subject, question, Occlusion())
    next(steps)
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_a_map_that_is_the_same_for_another_class_is_warned_of(draw):
    """The second class has half of the first's weights; the third has others."""
    weights = draw.normal(size=(2, 2, 8, 9))
    subject = linear(np.stack([weights[0], 0.5 * weights[0], weights[1]]))
    x = (weights[0] - weights[1])[None]  # so that the classes come in their order
    for target, other, alike in ((0, 1, True), (2, 0, False)):
        question = Question(x, Target(target), trust="full")
        trust = asked_fully(subject, question, Gradient())[1].trust
        assert trust["examined"]["other_class"] == other
        words = [warning.split(":")[0] for warning in trust["warnings"]]
        assert words == (["same for another class"] if alike else [])
        assert (trust["figures"]["class_correlation"] == pytest.approx(1)) == alike


def test_two_classes_that_are_compared_have_no_other(draw):
    subject, question = picture(draw)
    question = replace(question, target=Target(0, 1))
    trust = asked_fully(subject, question, Gradient())[1].trust
    assert trust["figures"]["class_correlation"] is None
    assert "difference" in trust["examined"]["not_measured"]["class_correlation"]


def test_padding_is_no_part_of_the_comparison_of_classes(draw):
    """Ten places of padding, 0 in every map, would make any two maps of two words alike."""
    subject = linear(draw.normal(size=(3, 12, 5)), geometry=Geometry("tokens", None, pad=0))
    subject = replace(subject, embedding=draw.normal(size=(30, 5)))
    ids = np.array([[7, 3, *[0] * 10]])
    figures = asked_fully(subject, Question(ids, trust="full"), Gradient())[1].trust["figures"]
    assert abs(figures["class_correlation"]) == pytest.approx(1), (
        "two words: one order or the other"
    )
