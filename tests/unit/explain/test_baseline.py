import numpy as np
import pytest

from candor.errors import InvalidOption
from candor.explain.baseline import absent_value, constant_baseline, segment_baseline
from candor.explain.subject import Geometry

NCHW, NHWC = Geometry("image", 0), Geometry("image", 2)
TOKENS = Geometry("tokens", None, pad=0, unknown=1)
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

    def filled(baseline, geometry=TOKENS):
        return segment_baseline(ids, segments, baseline, geometry)[0].tolist()

    assert filled("mean") == [1, 1, 1, 0]
    assert filled("zero") == [0, 0, 0, 0]
    assert filled(5.0) == [5, 5, 5, 0]
    assert filled("mean", Geometry("tokens", None, pad=3)) == [3, 3, 3, 0]


@pytest.mark.parametrize("baseline", ["blur", "noise"])
@pytest.mark.parametrize("kind", ["tokens", "tabular"])
def test_only_what_has_neighbours_is_blurred_or_made_noise(kind, baseline):
    with pytest.raises(InvalidOption, match=f"'{baseline}' needs positions that have neighbours"):
        segment_baseline(np.array([[1, 2]]), np.array([0, 1]), baseline, Geometry(kind, None))


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


@pytest.mark.parametrize("bad", [-1.0, 2.5])
def test_a_token_that_is_none_is_refused(bad):
    with pytest.raises(InvalidOption, match="expected a token id"):
        absent_value(bad, TOKENS)
    with pytest.raises(InvalidOption, match="expected a token id"):
        segment_baseline(np.array([[7]]), np.array([0]), bad, TOKENS)


def test_a_token_that_the_model_does_not_know_is_refused():
    known = Geometry("tokens", None, pad=0, n_ids=7)
    assert absent_value(6.0, known) == 6.0
    with pytest.raises(InvalidOption, match=r"baseline is 7, .* the model knows 0 to 6"):
        absent_value(7.0, known)
    assert absent_value(7.0, TOKENS) == 7.0


def test_absent_is_zero_or_padding_unless_told():
    assert absent_value(None, NCHW) == 0.0
    assert absent_value(None, Geometry("tokens", None, pad=4)) == 4.0
    assert absent_value(None, Geometry("tokens", None)) == 0.0
    assert absent_value(-0.5, NCHW) == -0.5
    assert absent_value(None, Geometry("image", 0, baseline=0.25)) == 0.25
    assert absent_value(-0.5, Geometry("image", 0, baseline=0.25)) == -0.5


def test_padding_stays_padding_whatever_the_baseline():
    ids = np.array([[7, 8, 0, 0]])
    assert constant_baseline(ids, 5.0, TOKENS).tolist() == [[5, 5, 0, 0]]
    assert constant_baseline(ids, 5.0, TOKENS).dtype == ids.dtype


@pytest.mark.parametrize("axis", [0, 1])
def test_the_mean_of_a_series_is_its_channels_over_time(axis):
    x = draw.normal(size=(1, 3, 7) if axis == 0 else (1, 7, 3))
    filled = segment_baseline(x, np.arange(7), "mean", Geometry("series", axis))
    np.testing.assert_allclose(filled, np.broadcast_to(x.mean(2 - axis, keepdims=True), x.shape))
