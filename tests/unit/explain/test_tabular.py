import secrets

import numpy as np
import pytest
import scipy

from candor.errors import InvalidInput, TooLarge
from candor.explain import tabular
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.explain.tabular import conditions, draw_records, drawing_records, unseen
from candor.geometry import NumberColumn
from candor.result import Target
from unit.explain.columns import category_column, number_column
from unit.explain.numpy_subject import linear
from unit.explain.told import finish

draw = np.random.default_rng(0)
AGES, KINDS = (
    draw.normal(40, 10, 500).round(1),
    draw.choice([2.0, 5.0, 7.0], 500, p=[0.6, 0.3, 0.1]),
)
COLUMNS = (number_column(AGES), category_column(KINDS, ("cat", "dog", "eel")))
NAMES = ("age", "kind")


def subject(weights=((0.0, 0.0), (0.01, 0.02)), columns=COLUMNS):
    geometry = Geometry("tabular", None, features=NAMES, columns=columns)
    return linear(np.array(weights), geometry=geometry, probability=lambda score: score)


def test_records_are_distributed_as_the_training_data():
    drawn = draw_records(COLUMNS, np.array([40.0, 2.0]), 20_000, 0, discretise=True).records[1:]
    assert AGES.min() <= drawn[:, 0].min() < drawn[:, 0].max() <= AGES.max()
    for at in np.percentile(AGES, (25, 50, 75)):
        assert (drawn[:, 0] <= at).mean() == pytest.approx((at >= AGES).mean(), abs=0.01)
    for value in (2.0, 5.0, 7.0):
        assert (drawn[:, 1] == value).mean() == pytest.approx((value == KINDS).mean(), abs=0.01)
    normal = draw_records(COLUMNS, np.array([40.0, 2.0]), 20_000, 0, discretise=False).records[1:]
    assert normal[:, 0].mean() == pytest.approx(AGES.mean(), abs=0.3)
    assert normal[:, 0].std() == pytest.approx(AGES.std(), rel=0.02)
    assert normal[:, 0].max() > AGES.max()


def test_what_the_linear_model_sees_is_the_own_bin_or_category():
    row = np.array([45.0, 5.0])
    drawn = draw_records(COLUMNS, row, 300, 1, discretise=True)
    edges = COLUMNS[0].edges
    same_bin = np.searchsorted(edges, drawn.records[:, 0]) == np.searchsorted(edges, 45.0)
    np.testing.assert_array_equal(drawn.design[:, 0] == 1, same_bin)
    np.testing.assert_array_equal(drawn.design[:, 1] == 1, drawn.records[:, 1] == 5.0)
    np.testing.assert_array_equal(drawn.records[0], row)
    plain = draw_records(COLUMNS, row, 300, 1, discretise=False)
    deviations = (plain.records[:, 0] - COLUMNS[0].mean) / COLUMNS[0].std
    np.testing.assert_allclose(plain.design[:, 0], deviations)


def test_records_drawn_in_chunks_are_those_in_one_piece(monkeypatch):
    seed, row = secrets.randbelow(2**32), np.array([45.0, 5.0])
    monkeypatch.setattr(tabular, "_CHUNK", 64)
    told, found = finish(drawing_records(COLUMNS, row, 300, seed, discretise=True))
    assert len(told) == 5
    monkeypatch.undo()
    told, whole = finish(drawing_records(COLUMNS, row, 300, seed, discretise=True))
    assert told == []
    np.testing.assert_array_equal(found.records, whole.records, err_msg=f"seed {seed}")
    np.testing.assert_array_equal(found.design, whole.design, err_msg=f"seed {seed}")


def test_numbers_far_out_in_a_tail_are_drawn_as_scipy_draws_them():
    column = NumberColumn(0, 1, -40, 40, (-30.0, 30.0), (1, 1, 1), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    found = draw_records((column,), np.zeros(1), 3000, 2, discretise=True).records[1:, 0]
    state = np.random.RandomState(2)
    bins = state.choice(3, 3000, p=np.full(3, 1 / 3))[1:]
    low, high = np.array([-40, -30, 30.0])[bins], np.array([-30, 30.0, 40])[bins]
    wanted = scipy.stats.truncnorm.rvs(low, high, scale=1 + 1e-11, random_state=state)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_an_empty_bin_is_never_drawn_and_a_column_of_one_value_keeps_it():
    empty = NumberColumn(1, 1, 0, 9, (2.0, 3.0), (5, 0, 5), (1.0, 0.0, 4.0), (0.5, 0.0, 1.0))
    same = number_column(np.full(9, -3.0))
    found = draw_records((empty, same), np.array([1.0, -3.0]), 500, 0, discretise=True).records
    assert not ((found[:, 0] > 2) & (found[:, 0] < 3)).any()
    assert (found[:, 1] == -3).all()
    plain = draw_records((empty, same), np.array([1.0, -3.0]), 50, 0, discretise=False)
    assert np.isfinite(plain.design).all()


def test_conditions_say_in_which_bin_and_of_which_category_the_record_is():
    column = NumberColumn(3, 1, 0, 9, (2.0, 4.5), (1, 1, 1), (1.0, 3.0, 6.0), (1.0, 1.0, 1.0))

    def told(age, kind, *, discretise=True):
        columns = (column, COLUMNS[1])
        return conditions(columns, NAMES, np.array([age, kind]), discretise=discretise)

    assert told(2.0, 2.0) == ["age <= 2.00", "kind=cat"]
    assert told(2.1, 7.0) == ["2.00 < age <= 4.50", "kind=eel"]
    assert told(5.0, 9.0) == ["age > 4.50", "kind=9"]
    assert told(5.0, 5.0, discretise=False) == ["age", "kind=dog"]
    assert conditions((category_column(KINDS),), ["k"], np.array([5.0]), discretise=True) == ["k=5"]


def test_what_training_never_had_is_named():
    assert unseen(COLUMNS, NAMES, np.array([40.0, 5.0])) == []
    assert unseen(COLUMNS, NAMES, np.array([400.0, 3.0])) == ["age 400", "kind 3"]


def test_lime_draws_where_the_manifest_knows_the_training_data():
    question = Question(np.array([[60.0, 5.0]], np.float32), Target(1))
    reports, answer = finish(lime(subject(), question, Lime(400)))
    figures = answer.trust["figures"]
    assert figures["conditions"] == [f"age > {COLUMNS[0].edges[-1]:.2f}", "kind=dog"]
    assert answer.trust["features"] == ["age", "kind"]
    assert answer.trust["warnings"] == []
    assert answer.trust["n_evaluations"] == reports[-1].total == 400
    oldest = COLUMNS[0].means[-1] - np.mean(COLUMNS[0].means[:3])
    assert answer.values[0] == pytest.approx(0.01 * oldest, rel=0.1)
    part = reports[3].best()
    assert part.trust["figures"]["n_samples"] == reports[3].done < 400
    _, asked = finish(lime(subject(), question, Lime(400, discretise=False)))
    assert asked.values[0] == pytest.approx(0.01 * COLUMNS[0].std, rel=0.05)


def test_lime_draws_are_warned_of_a_record_unlike_all_others_and_stop_at_a_tolerance():
    question = Question(np.array([[60.0, 3.0]]), Target(1))
    _, answer = finish(lime(subject(), question, Lime(5000, tolerance=0.1)))
    assert answer.trust["warnings"] == ["unseen: the training data never had kind 3"]
    assert answer.trust["figures"]["n_samples"] == 100


def test_a_caller_who_groups_features_gets_them_removed_together():
    question = Question(np.array([[60.0, 5.0]]), Target(1), segments=np.array([3, 3]))
    _, answer = finish(lime(subject(), question, Lime()))
    assert answer.trust["options"]["baseline"] == "mean"
    assert answer.trust["figures"]["n_segments"] == 1
    assert answer.values[0] == answer.values[1] > 0
    assert "conditions" not in answer.trust["figures"]


def test_records_that_are_no_records_of_this_model_are_refused():
    with pytest.raises(InvalidInput, match=r"shape \[3\], the manifest knows 2 columns"):
        draw_records(COLUMNS, np.zeros(3), 9, 0, discretise=True)
    many = subject(np.ones((2, 2)))
    with pytest.raises(TooLarge, match="use n_samples of at most 5000000"):
        next(lime(many, Question(np.zeros((1, 2))), Lime(6_000_000)))
