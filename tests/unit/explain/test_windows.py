import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from candor.explain.windows import NONE, covering, slide


@st.composite
def arrangements(draw):
    axes = []
    for _ in range(draw(st.integers(1, 2))):
        size = draw(st.integers(1, 12))
        window = draw(st.integers(1, size))
        axes.append((size, window, draw(st.integers(1, window))))
    return tuple(zip(*axes, strict=True))


def rectangles(shape, window, stride):
    """Every window as a bool map of the positions, by the definition, one at a time."""
    counts = [
        -(-(size - side) // step) + 1
        for size, side, step in zip(shape, window, stride, strict=True)
    ]
    for index in np.ndindex(*counts):
        covered = np.zeros(shape, bool)
        covered[
            tuple(
                slice(at * step, at * step + side)
                for at, side, step in zip(index, window, stride, strict=True)
            )
        ] = True
        yield covered


@given(arrangements())
def test_cells_give_back_every_window_exactly(arrangement):
    windows = slide(*arrangement)
    wanted = list(rectangles(*arrangement))
    cells = covering(windows, np.arange(len(wanted)))
    assert np.prod(windows.shape) == len(wanted)
    assert windows.segments.max() == cells.shape[1] - 1
    for window, want in zip(cells, wanted, strict=True):
        np.testing.assert_array_equal(window[windows.segments], want)


@given(arrangements())
def test_every_position_is_covered(arrangement):
    windows = slide(*arrangement)
    assert windows.count_at(np.ones(windows.shape)).min() >= 1


@given(arrangements(), st.integers(0, 2**32 - 1))
def test_sums_over_windows_are_those_over_their_maps(arrangement, seed):
    windows = slide(*arrangement)
    values = np.random.default_rng(seed).normal(size=windows.shape)
    want = sum(
        value * covered
        for value, covered in zip(values.ravel(), rectangles(*arrangement), strict=True)
    )
    np.testing.assert_allclose(windows.count_at(values), want, atol=1e-12)


@given(arrangements(), st.integers(0, 2**32 - 1))
def test_a_window_is_touched_where_it_covers_something(arrangement, seed):
    windows = slide(*arrangement)
    positions = np.random.default_rng(seed).random(arrangement[0]) < 0.1
    want = [bool(positions[covered].any()) for covered in rectangles(*arrangement)]
    assert windows.touched(positions).ravel().tolist() == want


def test_no_window_covers_nothing():
    windows = slide((4, 4), (2, 2), (2, 2))
    covered = covering(windows, np.array([NONE, 0]))
    assert covered.sum(axis=1).tolist() == [0, 1]
