"""Series, records and texts as pictures: that the colours stand where the values do."""

import numpy as np
import pytest
from PIL import Image

from candor.render.bars import bars_picture
from candor.render.colours import SIGNED
from candor.render.series import series_picture
from candor.render.words import words_picture
from candor.result import Attribution, TextView

RED, BLUE = (tuple(int(part) for part in SIGNED[at]) for at in (-1, 0))


def signed(*values: float) -> Attribution:
    return Attribution("occlusion", np.array(values, np.float32), {})


def columns(image: Image.Image, colour: tuple[int, ...], rows: slice) -> np.ndarray:
    """Where the columns of pixels lie that hold a colour."""
    return np.flatnonzero((np.asarray(image)[rows] == colour).all(axis=-1).any(axis=0))


def test_each_step_of_a_series_has_its_share_of_the_band() -> None:
    image = series_picture(signed(1, 0, -1, 0), width=400)
    assert columns(image, RED, slice(0, 28)).tolist() == list(range(100))
    assert columns(image, BLUE, slice(0, 28)).tolist() == list(range(200, 300))


def test_a_single_strong_step_of_a_long_series_is_not_lost() -> None:
    values = np.zeros(5000, np.float32)
    values[[1234, 4001]] = -1, 1
    image = series_picture(Attribution("occlusion", values, {}), width=400)
    assert columns(image, BLUE, slice(0, 28)).tolist() == [1234 * 400 // 5000]
    assert columns(image, RED, slice(0, 28)).tolist() == [4001 * 400 // 5000]


def test_a_series_is_drawn_as_a_curve_above_its_band() -> None:
    series = np.linspace(0, 1, 50)
    image = series_picture(Attribution("occlusion", np.zeros(50, np.float32), {}), series)
    dark = np.asarray(image)[:150].astype(int).sum(axis=-1).argmin(axis=0)
    assert dark[90] > dark[320] > dark[620] > 0  # rising, so ever further up
    assert image.height == series_picture(signed(0, 0)).height + 150


def test_channels_of_a_series_have_a_band_each_on_one_scale() -> None:
    both = Attribution("occlusion", np.array([[1, 0], [0, -1]], np.float32), {})
    image = series_picture(both, width=400)
    assert columns(image, RED, slice(0, 28)).tolist() == list(range(200))
    assert columns(image, BLUE, slice(0, 28)).size == 0
    assert columns(image, BLUE, slice(28, 56)).tolist() == list(range(200, 400))


def test_bars_go_to_the_side_of_their_sign_and_the_largest_comes_first() -> None:
    image = bars_picture(signed(0.5, -2, 1), ["age", "sex", "hours"], width=480)
    middle = (480 * 2 // 5 + 480 - 72) / 2
    assert columns(image, BLUE, slice(8, 28)).max() <= middle  # -2, the largest
    assert columns(image, BLUE, slice(28, 68)).size == 0
    warm = np.asarray(image)[38, int(middle) + 3]
    assert warm[0] > warm[2]  # 1, reddish, to the right of zero


def test_names_must_be_as_many_as_values() -> None:
    with pytest.raises(ValueError, match=r"1 names for values of shape \[2\]"):
        bars_picture(signed(1, 2), ["age"])


def test_only_so_many_bars_are_drawn() -> None:
    values = signed(*range(50))
    names = [str(number) for number in range(50)]
    few, many = (bars_picture(values, names, max_bars=n).height for n in (5, 40))
    assert many - few == 35 * 20


def test_words_stand_on_their_colours_in_order_and_wrap() -> None:
    text = "good or bad"
    view = TextView(("good", "or", "bad"), ((0, 4), (5, 7), (8, 11)), (True, True, True))
    image = words_picture(text, view, signed(1, 0, -1))
    red, blue = (columns(image, colour, slice(0, 40)) for colour in (RED, BLUE))
    assert red.size
    assert blue.size
    assert red.max() < blue.min()
    narrow = words_picture(text, view, signed(1, 0, -1), width=70)
    assert narrow.height - 2 * 30 <= image.height < narrow.height


def test_magnitudes_of_words_are_red_not_dark() -> None:
    view = TextView(("good", "bad"), ((0, 4), (5, 8)), (True, True))
    values = Attribution("gradient", np.array([1, 0], np.float32), {})
    image = words_picture("good bad", view, values)
    assert columns(image, RED, slice(0, 40)).size
