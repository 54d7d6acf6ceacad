import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from candor.explain.order import coarse_to_fine


@given(st.lists(st.integers(1, 13), min_size=1, max_size=3).map(tuple))
def test_order_visits_every_point_once(shape):
    assert sorted(coarse_to_fine(shape)) == list(range(int(np.prod(shape))))


def test_every_power_of_two_is_done_before_what_lies_between():
    order = coarse_to_fine((16, 16)).tolist()
    done = {divmod(at, 16) for at in order[:16]}
    assert done == {(row, column) for row in range(0, 16, 4) for column in range(0, 16, 4)}
    assert {divmod(at, 16) for at in order[:4]} == {(0, 0), (0, 8), (8, 0), (8, 8)}


def test_no_axis_at_all_is_one_point():
    assert coarse_to_fine(()).tolist() == [0]
