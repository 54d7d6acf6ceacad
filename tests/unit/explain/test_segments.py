import numpy as np
import pytest
import skimage

from candor.errors import InvalidInput, InvalidOption, TooLarge
from candor.explain.change_points import change_points
from candor.explain.options import Lime
from candor.explain.question import Question
from candor.explain.segments import cut
from candor.explain.subject import Geometry
from candor.explain.superpixels import picture_cut

NCHW, NHWC = Geometry("image", 0), Geometry("image", 2)
TOKENS = Geometry("tokens", None, pad=0)
CAT = skimage.transform.resize(skimage.data.chelsea(), (48, 64)).astype(np.float32)


@pytest.mark.parametrize("kind", ["slic", "quickshift", "grid"])
def test_segments_are_numbered_without_gaps_whatever_the_layout_and_scale(kind):
    options = Lime(segments=kind, n_segments=30)
    channels_last = cut(Question(CAT[None]), options, NHWC)
    shifted = (np.moveaxis(CAT, -1, 0) - 0.5) / 0.25
    channels_first = cut(Question(shifted[None]), options, NCHW)
    assert channels_last.kind == kind
    assert channels_last.positions.dtype == np.int32
    assert sorted(set(channels_last.positions.ravel().tolist())) == list(range(channels_last.n))
    assert 2 < channels_last.n < 60
    agreement = np.mean(channels_first.positions == channels_last.positions)
    assert agreement > 0.99, "cutting must not depend on how the picture is scaled"


def test_an_image_is_cut_by_slic_unless_told():
    question = Question(CAT[None])
    auto, slic = cut(question, Lime(), NHWC), cut(question, Lime(segments="slic"), NHWC)
    assert auto.kind == "slic"
    np.testing.assert_array_equal(auto.positions, slic.positions)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 28, 28), (3, 1, 40), (4, 20, 20), (2, 16, 16)])
@pytest.mark.parametrize("kind", ["slic", "quickshift", "grid"])
@pytest.mark.parametrize("fill", ["flat", "random"])
def test_any_picture_can_be_cut(shape, kind, fill):
    x = (
        np.random.default_rng(0).normal(size=(1, *shape))
        if fill == "random"
        else np.ones((1, *shape))
    )
    segmentation = cut(Question(x.astype(np.float32)), Lime(segments=kind), NCHW)
    assert segmentation.positions.shape == shape[1:]
    assert segmentation.n == segmentation.positions.max() + 1
    assert segmentation.positions.min() == 0


def test_a_grid_has_square_cells_of_equal_size():
    x = np.zeros((1, 1, 40, 80), np.float32)
    segmentation = cut(Question(x), Lime(segments="grid", n_segments=50), NCHW)
    assert segmentation.n == 50
    sizes = np.bincount(segmentation.positions.ravel())
    assert sizes.min() == sizes.max() == 64


def test_every_token_but_padding_is_a_segment():
    segmentation = cut(Question(np.array([[5, 9, 0, 5, 0, 0]])), Lime(), TOKENS)
    assert segmentation.positions.tolist() == [0, 1, -1, 2, -1, -1]
    assert (segmentation.n, segmentation.kind) == (3, "tokens")
    assert cut(Question(np.array([[0, 0]])), Lime(), TOKENS).n == 0
    assert cut(Question(np.array([[0, 5]])), Lime(), Geometry("tokens", None)).n == 2


def test_a_series_is_cut_into_slices_of_equal_length():
    x = np.zeros((1, 100, 3), np.float32)
    segmentation = cut(Question(x), Lime(n_segments=10), Geometry("series", 1))
    assert np.bincount(segmentation.positions).tolist() == [10] * 10
    assert (np.diff(segmentation.positions) >= 0).all()
    short = cut(Question(x[:, :4]), Lime(n_segments=10), Geometry("series", 1))
    assert short.positions.tolist() == [0, 1, 2, 3]
    uneven = cut(Question(x), Lime(n_segments=30), Geometry("series", 1))
    assert np.bincount(uneven.positions).tolist() == [4] * 25, "rounded up, as Lime-For-Time does"
    last = cut(Question(x), Lime(n_segments=7), Geometry("series", 1))
    assert np.bincount(last.positions).tolist() == [15] * 6 + [10]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("way", ["auto", "change_points"])
def test_the_channels_of_a_series_can_be_cut_apart(axis, way):
    values = np.random.default_rng(0).normal(size=(12, 3))
    x = values.T[None] if axis == 0 else values[None]
    together, apart = (
        cut(Question(x), Lime(segments=way, n_segments=4, channels=c), Geometry("series", axis))
        for c in ("sum", "keep")
    )
    assert (together.n, together.n_channels, apart.n, apart.n_channels) == (4, 1, 12, 3)
    by_channel = apart.positions if axis == 0 else apart.positions.T
    for channel in range(3):
        np.testing.assert_array_equal(by_channel[channel], together.positions + 4 * channel)


def test_channels_apart_take_segments_of_each_value_and_no_other_kind_of_input():
    x, geometry, keep = np.zeros((1, 4, 2)), Geometry("series", 1), Lime(channels="keep")
    given = np.array([[0, 1], [0, 1], [2, -1], [2, -1]])
    found = cut(Question(x, segments=given), keep, geometry)
    assert (found.positions.tolist(), found.n, found.n_channels) == (given.tolist(), 3, 1)
    with pytest.raises(InvalidInput, match=r"of the positions' shape \[4, 2\]"):
        cut(Question(x, segments=given[:, 0]), keep, geometry)
    with pytest.raises(InvalidOption, match="this is image, expected 'sum'"):
        cut(Question(np.zeros((1, 3, 4, 4))), keep, NCHW)
    assert cut(Question(np.zeros((1, 4))), keep, Geometry("series", None)).positions.ndim == 1


def test_every_feature_is_a_segment():
    segmentation = cut(Question(np.zeros((1, 7))), Lime(), Geometry("tabular", None))
    assert segmentation.positions.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("way", "geometry", "expected"),
    [
        ("grid", TOKENS, "tokens, expected 'auto'"),
        ("grid", Geometry("series", None), "series, expected 'auto' or 'change_points'"),
        ("change_points", NCHW, "image, expected 'auto' or 'slic' or 'quickshift' or 'grid'"),
        ("change_points", Geometry("tabular", None), "tabular, expected 'auto'"),
    ],
)
def test_ways_to_cut_another_kind_of_input_are_refused(way, geometry, expected):
    x = np.zeros((1, 3, 4, 4)) if geometry.kind == "image" else np.array([[5, 9]])
    message = f"lime.segments is '{way}', which cuts another kind of input; this one is {expected}"
    with pytest.raises(InvalidOption, match=message):
        cut(Question(x), Lime(segments=way), geometry)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_series_can_be_cut_where_it_changes(axis):
    levels = np.repeat([[0.0, 5.0], [9.0, 5.0], [9.0, -5.0], [1.0, 2.0]], [10, 3, 20, 7], axis=0)
    x = levels + 0.1 * np.random.default_rng(0).normal(size=levels.shape)
    x = x[:, 0] if axis is None else np.moveaxis(x, -1, axis)
    geometry, n = Geometry("series", axis), 4 if axis is not None else 3
    segmentation = cut(Question(x[None]), Lime(n_segments=n, segments="change_points"), geometry)
    lengths = [10, 23, 7] if axis is None else [10, 3, 20, 7]
    assert np.bincount(segmentation.positions).tolist() == lengths
    assert (segmentation.n, segmentation.kind) == (n, "change_points")


def test_change_points_are_those_of_the_least_squared_error_among_merges_of_neighbours():
    """Each merge is checked against all others, on channels of different scales."""
    series = np.random.default_rng(3).normal(size=(12, 2)) * [1.0, 1000.0]
    unit = (series - series.mean(0)) / series.std(0)

    def error(labels):
        groups = [unit[labels == label] for label in np.unique(labels)]
        return sum(((group - group.mean(0)) ** 2).sum() for group in groups)

    for n in range(11, 0, -1):
        finer, coarser = change_points(series, n + 1), change_points(series, n)
        merged = [np.where(finer > at, finer - 1, finer) for at in range(n)]
        best = min(merged, key=error)
        assert coarser.tolist() == best.tolist()


def test_no_change_in_a_series_is_no_trouble():
    assert change_points(np.ones((5, 1)), 2).max() == 1
    assert change_points(np.arange(3.0)[:, None], 9).tolist() == [0, 1, 2]


def test_the_callers_segments_are_renumbered_and_negative_ones_never_removed():
    given = np.array([[7, 7, -3], [2, 40, -1]])
    segmentation = cut(Question(np.zeros((1, 3, 2, 3)), segments=given), Lime(), NCHW)
    assert segmentation.positions.tolist() == [[1, 1, -1], [0, 2, -1]]
    assert (segmentation.n, segmentation.kind) == (3, "given")


@pytest.mark.parametrize(
    "given", [np.zeros((3, 2, 3), int), np.zeros((3, 2), int), np.zeros((2, 3))], ids=str
)
def test_segments_that_do_not_fit_the_positions_are_refused(given):
    with pytest.raises(InvalidInput, match=r"expected integers of the positions' shape \[2, 3\]"):
        cut(Question(np.zeros((1, 3, 2, 3)), segments=given), Lime(), NCHW)


def test_more_segments_than_can_be_explained_are_refused():
    with pytest.raises(TooLarge, match="at most 2000 segments, the row has 2001"):
        cut(Question(np.arange(1, 2002)[None]), Lime(), TOKENS)
    assert cut(Question(np.arange(1, 2001)[None]), Lime(), TOKENS).n == 2000


def test_a_picture_is_cut_once_and_remembered_by_content():
    row = np.moveaxis(CAT, -1, 0)
    first = picture_cut(row, "slic", 20, NCHW)
    assert picture_cut(row.copy(), "slic", 20, NCHW) is first
    assert picture_cut(row, "slic", 21, NCHW) is not first
    assert picture_cut(row + 0.1, "slic", 20, NCHW) is not first
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 9
