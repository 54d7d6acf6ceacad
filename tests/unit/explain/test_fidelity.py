"""The arithmetic of full trust: steps, curves and figures, on values worked out by hand."""

import numpy as np
import pytest

from candor.explain.fidelity import (
    area,
    correlation,
    per_position,
    relative_change,
    relative_infidelity,
    removal_steps,
    states,
)
from candor.explain.removals import draw_removals
from candor.explain.subject import Geometry

draw = np.random.default_rng(0)


def test_positions_go_in_the_order_of_their_values_a_few_a_step():
    values = np.array([[0.1, 0.9, 0.4], [0.8, 0.2, 0.7]])
    steps, n_steps = removal_steps(values, np.ones((2, 3), dtype=bool), most=3)
    assert n_steps == 3
    np.testing.assert_array_equal(steps, [[2, 0, 1], [0, 2, 1]])


def test_of_equal_values_the_last_goes_first_and_the_last_step_may_be_short():
    steps, n_steps = removal_steps(np.zeros(5), np.ones(5, dtype=bool), most=3)
    assert n_steps == 3
    np.testing.assert_array_equal(steps, [2, 1, 1, 0, 0])


def test_what_cannot_be_removed_is_there_in_every_state():
    removable = np.array([True, False, True])
    steps, n_steps = removal_steps(np.array([1.0, 9.0, 2.0]), removable)
    np.testing.assert_array_equal(steps, [1, 2, 0])
    for insertion in (False, True):
        there = states(n_steps, slice(0, n_steps + 1), insertion=insertion)[:, steps]
        assert there[:, 1].all()
        np.testing.assert_array_equal(there[:, 2], [not insertion, insertion, insertion])


def test_a_deletion_ends_with_nothing_and_an_insertion_with_everything():
    for n_steps in (1, 2, 28):
        every = slice(0, n_steps + 1)
        deletion = states(n_steps, every, insertion=False)[:, :-1]
        insertion = states(n_steps, every, insertion=True)[:, :-1]
        np.testing.assert_array_equal(deletion.sum(axis=1), np.arange(n_steps, -1, -1))
        np.testing.assert_array_equal(insertion, ~deletion)
        parts = [
            states(n_steps, slice(k, k + 1), insertion=True)[:, :-1] for k in range(n_steps + 1)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), insertion)


def test_area_is_the_trapezoidal_rule_over_the_unit():
    assert area(np.array([1.0, 0.0])) == 0.5
    assert area(np.array([1.0, 1.0, 0.0])) == 0.75
    curve = draw.random(29)
    assert area(curve) == pytest.approx(np.trapezoid(curve, dx=1 / 28))


def test_relative_infidelity_is_nothing_for_the_truth_at_any_scale():
    lost = draw.normal(size=40)
    assert relative_infidelity(3.5 * lost, lost) == pytest.approx(0.0, abs=1e-12)
    assert relative_infidelity(-lost, lost) == 1.0, "the wrong way round it is worth nothing"
    assert relative_infidelity(np.zeros(40), lost) == 1.0
    assert relative_infidelity(lost, np.zeros(40)) is None
    told = lost + draw.normal(size=40)
    factors = np.linspace(0, 3, 30_001)
    least = min(np.mean((factor * told - lost) ** 2) for factor in factors)
    assert relative_infidelity(told, lost) == pytest.approx(least / np.mean(lost**2), abs=1e-6)


def test_correlation_is_of_what_is_told_with_what_is_lost():
    lost = draw.normal(size=40)
    told = lost + draw.normal(size=40)
    assert correlation(told, lost) == pytest.approx(np.corrcoef(told, lost)[0, 1])
    assert correlation(5 - 2 * lost, lost) == pytest.approx(-1)
    assert correlation(np.full(40, 0.1), lost) is None, "an even map tells the same of all"
    assert correlation(told, np.zeros(40)) is None


def test_relative_change_is_of_the_first_maps_norm():
    assert relative_change(np.array([3.0, 4.0]), np.array([3.0, 3.0])) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("geometry", "row", "position", "axis"),
    [
        (Geometry("image", 0), (3, 4, 5), (4, 5), 0),
        (Geometry("image", 2), (4, 5, 3), (4, 5), 2),
        (Geometry("series", 1), (6, 2), (6,), 1),
        (Geometry("tokens", None), (6, 8), (6,), 1),
    ],
)
def test_a_map_with_channels_counts_as_their_sum(geometry, row, position, axis):
    values = draw.normal(size=row)
    np.testing.assert_allclose(per_position(values, position, geometry), values.sum(axis=axis))
    flat = draw.normal(size=position)
    np.testing.assert_array_equal(per_position(flat, position, geometry), flat)


@pytest.mark.parametrize("shape", [(16, 24), (64, 64), (3, 5), (1, 1), (224, 100)])
def test_an_eighth_of_the_cells_of_a_picture_is_removed(shape):
    removals = draw_removals("image", np.ones(shape, dtype=bool), 60, np.random.default_rng(1))
    masks = removals.masks(slice(0, 60))
    np.testing.assert_array_equal(removals.masks(slice(7, 9)), masks[7:9])
    assert removals.masks(slice(0, 0)).shape == (0, np.prod(shape))
    rows, columns = (min(size, 8) for size in shape)
    cells = np.arange(shape[0])[:, None] * rows // shape[0] * columns
    cells = (cells + np.arange(shape[1]) * columns // shape[1]).ravel()
    for mask in masks:
        gone = np.unique(cells[mask])
        assert len(gone) == max(rows * columns // 8, 1)
        np.testing.assert_array_equal(mask, np.isin(cells, gone), err_msg="whole cells")
    assert len(np.unique(masks, axis=0)) > 5 or shape == (1, 1)


def test_a_series_has_slices_for_cells():
    masks = draw_removals("series", np.ones(640, dtype=bool), 9, np.random.default_rng(1)).masks(
        slice(0, 9)
    )
    assert set(masks.sum(axis=1)) == {80}
    assert {int(size) for size in masks.reshape(9, 64, 10).sum(axis=2).ravel()} == {0, 10}


def test_a_third_of_the_tokens_is_removed_and_padding_never():
    removable = np.arange(12) < 7
    removals = draw_removals("tokens", removable, 200, np.random.default_rng(1))
    masks = removals.masks(slice(0, 200))
    assert not masks[:, 7:].any()
    assert set(masks.sum(axis=1)) == {2}
    assert masks[:, :7].any(axis=0).all()
    lone = draw_removals("tabular", np.ones(2, dtype=bool), 9, np.random.default_rng(1))
    assert set(lone.masks(slice(0, 9)).sum(axis=1)) == {1}
