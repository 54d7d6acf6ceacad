import numpy as np
import pytest

from candor.errors import InvalidOption
from candor.explain.fills import resolve_fill, segment_baseline
from candor.explain.subject import Geometry
from candor.geometry import CategoryColumn, NumberColumn

NCHW, NHWC = Geometry("image", 0), Geometry("image", 2)
TOKENS = Geometry("tokens", None, pad=0, unknown=1)
COLUMNS = (
    NumberColumn(3.0, 1.0, 0.0, 9.0, (3.0,), (1, 1), (2.0, 4.0), (1.0, 1.0)),
    CategoryColumn((2.0, 7.0), (1, 5)),
)
draw = np.random.default_rng(0)


@pytest.mark.parametrize("geometry", [NCHW, NHWC], ids=["nchw", "nhwc"])
def test_mean_is_of_each_segment_and_channel_in_float(geometry):
    picture = draw.normal(size=(3, 6, 5)).astype(np.float32)
    segments = draw.integers(0, 4, (6, 5))
    x = picture if geometry is NCHW else np.moveaxis(picture, 0, -1)
    filled = segment_baseline(x[None], segments, "mean", geometry)[0]
    filled = filled if geometry is NCHW else np.moveaxis(filled, -1, 0)
    for segment in range(4):
        for channel in range(3):
            want = picture[channel][segments == segment].mean(dtype=np.float64)
            np.testing.assert_allclose(filled[channel][segments == segment], want, rtol=1e-6)
    assert filled.dtype == np.float32


@pytest.mark.parametrize("baseline", ["mean", "zero", "blur", 0.5])
def test_what_is_never_removed_keeps_its_value(baseline):
    x = draw.normal(size=(1, 3, 6, 6)).astype(np.float32)
    segments = np.where(np.arange(36).reshape(6, 6) < 12, -1, 0)
    filled = segment_baseline(x, segments, baseline, NCHW)
    np.testing.assert_array_equal(filled[0, :, :2], x[0, :, :2])
    assert (filled[0, :, 2:] != x[0, :, 2:]).all()


def test_blur_smooths_space_but_not_channels():
    x = np.zeros((1, 2, 9, 9), np.float32)
    x[0, 0, 4, 4] = 81.0
    filled = segment_baseline(x, np.zeros((9, 9), int), "blur", NCHW)[0]
    assert (filled[1] == 0).all()
    assert 0 < filled[0].max() < 20
    np.testing.assert_allclose(filled[0].sum(), 81.0, rtol=1e-3)


def test_tokens_are_replaced_by_words_that_mean_nothing():
    ids = np.array([[7, 8, 9, 0]])
    segments = np.array([0, 1, 2, -1])

    def filled(fill, geometry=TOKENS):
        return segment_baseline(ids, segments, resolve_fill(fill, geometry), geometry)[0].tolist()

    assert filled("auto") == filled("unknown") == filled("mean") == [1, 1, 1, 0]
    assert filled("padding") == filled("zero") == [0, 0, 0, 0]
    assert filled(5.0) == [5, 5, 5, 0]
    assert filled("auto", Geometry("tokens", None, pad=3)) == [3, 3, 3, 0]
    with pytest.raises(InvalidOption, match="expected a token id"):
        filled(-1.0)


@pytest.mark.parametrize(
    ("kind", "fill", "expected"),
    [
        ("image", "padding", "'auto', 'mean', 'total_mean', 'zero', 'blur', 'noise' or a number"),
        ("series", "training", "'auto', 'mean', 'total_mean', 'zero', 'blur', 'noise' or"),
        ("tokens", "blur", "which tokens input has not; expected 'auto', 'unknown', 'padding'"),
        ("tabular", "noise", "expected 'auto', 'training', 'mean', 'zero' or a number"),
        ("tabular", "training", "has no input.statistics .*; use 'zero' or a number"),
        ("tabular", "mean", "has no input.statistics .*; use 'zero' or a number"),
    ],
)
def test_what_a_kind_of_input_does_not_have_is_refused(kind, fill, expected):
    with pytest.raises(InvalidOption, match=f"lime.baseline is '{fill}', .*{expected}"):
        resolve_fill(fill, Geometry(kind, None))


def test_auto_is_what_suits_the_kind_of_input():
    known = Geometry("tabular", None, columns=COLUMNS)
    assert resolve_fill("auto", NCHW) == "mean"
    assert resolve_fill("auto", Geometry("series", 1)) == "total_mean"
    assert resolve_fill("auto", Geometry("tabular", None)) == "zero"
    assert resolve_fill("auto", known) == "training"
    assert resolve_fill("auto", known, grouped=True) == "mean"
    assert resolve_fill(0.5, known, grouped=True) == 0.5
    with pytest.raises(InvalidOption, match="the request groups them by segments"):
        resolve_fill("training", known, grouped=True)


def test_the_mean_of_a_record_is_that_of_the_training_data():
    known = Geometry("tabular", None, columns=COLUMNS)
    filled = segment_baseline(np.array([[9.0, 2.0]]), np.array([0, 1]), "mean", known)
    assert filled.tolist() == [[3.0, 7.0]], "the mean of numbers, the most frequent category"
    kept = segment_baseline(np.array([[9.0, 2.0]]), np.array([0, -1]), "mean", known)
    assert kept.tolist() == [[3.0, 2.0]]


def test_what_is_never_removed_bears_on_no_mean():
    picture = np.array([[[1.0, 3.0, 100.0]]])
    filled = segment_baseline(picture[None], np.array([[0, 0, -1]]), "mean", NCHW)
    assert filled.tolist() == [[[[2.0, 2.0, 100.0]]]]


def test_noise_stays_within_each_channel_and_follows_the_seed():
    x = draw.normal(size=(1, 200, 2)) * [1.0, 100.0]
    segments, geometry = np.zeros(200, int), Geometry("series", 1)
    one, same, other = (
        segment_baseline(x, segments, "noise", geometry, seed)[0] for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    for channel in range(2):
        values, of_row = one[:, channel], x[0, :, channel]
        assert of_row.min() <= values.min() < values.max() <= of_row.max()
        np.testing.assert_allclose(values.std(), np.ptp(of_row) / 12**0.5, rtol=0.2)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_means_of_a_series_are_of_its_slices_or_of_all_its_time(axis):
    values = draw.normal(size=(6, 3))
    slices = np.array([0, 0, 1, 1, 1, 2])

    def filled(fill, segments):
        x = values[:, 0] if axis is None else np.moveaxis(values, -1, axis)
        found = segment_baseline(x[None], segments, fill, Geometry("series", axis))[0]
        return found[:, None] if axis is None else np.moveaxis(found, axis, -1)

    wanted = values[:, :1] if axis is None else values
    of_slices = np.concatenate(
        [np.broadcast_to(part.mean(0), part.shape) for part in np.split(wanted, [2, 5])]
    )
    np.testing.assert_allclose(filled("mean", slices), of_slices)
    np.testing.assert_allclose(filled("total_mean", slices), wanted * 0 + wanted.mean(0))
    if axis is not None:
        apart = slices[:, None] + 3 * np.arange(3)
        apart = apart.T if axis == 0 else apart
        np.testing.assert_allclose(filled("mean", apart), of_slices)
