import numpy as np
import pytest

from candor.explain.layout import position_shape, spread, sum_channels
from candor.explain.subject import Geometry

NCHW, NHWC = Geometry("image", 0), Geometry("image", 2)
SERIES, TABULAR, TOKENS = Geometry("series", 1), Geometry("tabular", None), Geometry("tokens", None)


@pytest.mark.parametrize(
    ("row", "geometry", "positions"),
    [
        ((3, 8, 6), NCHW, (8, 6)),
        ((8, 6, 3), NHWC, (8, 6)),
        ((20, 4), SERIES, (20,)),
        ((9,), TABULAR, (9,)),
        ((9,), TOKENS, (9,)),
    ],
)
def test_positions_are_the_row_without_channels_and_spread_back_over_them(row, geometry, positions):
    assert position_shape(row, geometry) == positions
    values = np.arange(np.prod(positions)).reshape(positions)
    over_channels = np.broadcast_to(spread(values, geometry), row)
    if geometry.channel_axis is not None:
        over_channels = np.moveaxis(over_channels, geometry.channel_axis, -1)[..., -1]
    np.testing.assert_array_equal(over_channels, values)


@pytest.mark.parametrize(
    ("shape", "geometry", "summed"),
    [
        ((2, 3, 8, 6), NCHW, (2, 8, 6)),
        ((2, 8, 6, 3), NHWC, (2, 8, 6)),
        ((2, 20, 4), SERIES, (2, 20)),
        ((2, 9), TABULAR, (2, 9)),
        ((2, 9, 16), TOKENS, (2, 9)),
    ],
)
def test_channels_are_summed_or_kept(shape, geometry, summed):
    ones = np.ones(shape)
    result = sum_channels(ones, geometry, "sum")
    assert result.shape == summed
    assert result.sum() == ones.size
    assert sum_channels(ones, geometry, "keep").shape == shape
