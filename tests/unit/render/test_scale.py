import numpy as np
import pytest

from candor.render.colours import MAGNITUDE, SIGNED, colour_of, oklab, srgb
from candor.render.scale import scale_of, style_of


def test_oklab_and_back_is_the_same_colour() -> None:
    colours = np.random.default_rng(0).random((1000, 3))
    np.testing.assert_allclose(srgb(oklab(colours)), colours, atol=1e-6)


def test_oklab_has_the_published_value_of_red() -> None:
    np.testing.assert_allclose(oklab(np.array([1.0, 0, 0])), [0.628, 0.2249, 0.1258], atol=1e-3)


def test_magnitudes_grow_lighter_in_even_steps() -> None:
    lightness = oklab(MAGNITUDE[::16] / 255.0)[:, 0]
    steps = np.diff(lightness)
    assert steps.min() > 0.75 * steps.mean()
    assert steps.max() < 1.25 * steps.mean()


def test_signed_colours_are_equally_dark_at_equal_distance_from_zero() -> None:
    lightness = oklab(SIGNED / 255.0)[:, 0]
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.02)
    assert lightness.argmax() in {127, 128}


def test_signed_colours_run_from_blue_to_red() -> None:
    low, zero, high = colour_of(SIGNED, np.array([0.0, 0.5, 1.0])).astype(int)
    assert low[2] > low[0] + 50
    assert high[0] > high[2] + 50
    assert np.ptp(zero) < 6


def test_zero_is_the_dark_end_of_magnitudes() -> None:
    scale = scale_of(np.array([3.0, 5.0]), style_of("grad_cam"))
    assert (scale.low, scale.high, scale.clipped) == (0.0, 5.0, False)
    assert scale.colours(np.array(0.0)).sum() < 10


def test_zero_is_the_middle_where_values_are_signed() -> None:
    scale = scale_of(np.array([-1.0, 4.0]), style_of("grad_cam"))
    assert (scale.low, scale.high) == (-4.0, 4.0)


@pytest.mark.parametrize("method", ["lime", "occlusion", "integrated_gradients"])
def test_methods_with_signed_values_keep_zero_in_the_middle_of_positive_maps(method: str) -> None:
    assert scale_of(np.array([0.5, 1.0]), style_of(method)).signed


def test_a_few_bright_pixels_do_not_darken_a_gradient() -> None:
    values = np.concatenate([np.full(999, 1.0), [1000.0]])
    scale = scale_of(values, style_of("gradient"))
    assert scale.high < 20
    assert scale.clipped


def test_a_map_of_nothing_has_the_colour_of_nothing() -> None:
    scale = scale_of(np.zeros((4, 4)), style_of("grad_cam"))
    assert (scale.colours(np.zeros((4, 4))) == scale.colours(np.array(0.0))).all()


def test_a_gradient_with_one_live_pixel_still_shows_it() -> None:
    values = np.zeros(1000)
    values[7] = 2.0
    assert scale_of(values, style_of("gradient")).high == 2.0
