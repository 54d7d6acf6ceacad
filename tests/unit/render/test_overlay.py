import io

import numpy as np
import pytest
from PIL import Image

from candor.render.overlay import MAX_SIDE, overlay_png
from candor.result import Array, Attribution, ImageView


def _drawn(png: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def _hot_corner(size: int = 8) -> Array:
    values = np.zeros((size, size), dtype=np.float32)
    values[: size // 2, : size // 2] = 1.0
    return values


def _grey(height: int, width: int) -> Array:
    return np.full((height, width, 3), 120, dtype=np.uint8)


def test_the_picture_keeps_its_width_and_gets_a_strip_below() -> None:
    drawn = _drawn(overlay_png(_grey(100, 160), Attribution("grad_cam", _hot_corner(), {}), None))
    assert drawn.shape[1] == 160
    assert drawn.shape[0] > 100
    assert (drawn[-1] == 255).all()


def test_the_hot_part_of_the_map_lies_on_its_part_of_the_picture() -> None:
    drawn = _drawn(overlay_png(_grey(100, 100), Attribution("grad_cam", _hot_corner(), {}), None))
    assert drawn[10, 10].sum() > 500
    assert drawn[90, 90].sum() < 200
    assert drawn[10, 90].sum() < 200


def test_the_map_lies_in_the_box_that_the_model_saw_and_the_rest_is_grey() -> None:
    picture = np.zeros((60, 120, 3), dtype=np.uint8)
    picture[..., 0] = 200
    view = ImageView(120, 60, (60.0, 0.0, 120.0, 60.0))
    drawn = _drawn(overlay_png(picture, Attribution("grad_cam", _hot_corner(), {}), view))
    assert np.ptp(drawn[:60, :60], axis=-1).max() == 0
    assert np.ptp(drawn[5, 65]) > 50
    assert drawn[5, 65].sum() > drawn[55, 115].sum() + 200


def test_with_opacity_0_the_picture_is_as_it_was() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    attribution = Attribution("grad_cam", _hot_corner(), {})
    drawn = _drawn(overlay_png(picture, attribution, None, opacity=0.0))
    np.testing.assert_array_equal(drawn[:30], picture)


def test_an_encoded_picture_is_turned_as_its_camera_was_held() -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :40] = 255  # the left half is white; held at 90 degrees, that is the top
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", exif=exif, quality=95)
    attribution = Attribution("grad_cam", np.zeros((4, 4), dtype=np.float32), {})
    drawn = _drawn(overlay_png(file.getvalue(), attribution, None, opacity=0.1))
    assert drawn.shape[1] == 40
    assert drawn[10].min() > 200
    assert drawn[70].max() < 60


def test_positive_and_negative_weights_have_opposite_colours() -> None:
    values = np.array([[1.0, -1.0]], dtype=np.float32)
    drawn = _drawn(overlay_png(_grey(40, 80), Attribution("lime", values, {}), None, opacity=0.8))
    for_it, against = drawn[20, 10], drawn[20, 70]
    assert for_it[0] > for_it[2] + 50
    assert against[2] > against[0] + 50


def test_segments_are_outlined() -> None:
    segments = np.zeros((4, 4), dtype=np.int32)
    segments[:, 2:] = 1
    attribution = Attribution("lime", np.zeros((4, 4), dtype=np.float32), {}, segments)
    drawn = _drawn(overlay_png(_grey(40, 40), attribution, None))
    assert drawn[20, 20].sum() > drawn[20, 10].sum() + 60


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 3)])
def test_channels_are_summed(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    kept = rng.random(shape).astype(np.float32)
    summed = kept.sum(axis=shape.index(3))
    pictures = [
        overlay_png(_grey(40, 40), Attribution("gradient", values, {}), None)
        for values in (kept, summed)
    ]
    assert pictures[0] == pictures[1]


def test_a_very_wide_picture_is_drawn_smaller() -> None:
    attribution = Attribution("grad_cam", _hot_corner(), {})
    drawn = _drawn(overlay_png(_grey(10, 20_000), attribution, None, caption="wide"))
    assert drawn.shape[1] == MAX_SIDE


def test_a_picture_of_one_pixel_is_drawn() -> None:
    attribution = Attribution("grad_cam", _hot_corner(), {})
    assert _drawn(overlay_png(_grey(1, 1), attribution, None, caption="dot")).shape[1] == 1


def test_a_small_picture_is_drawn_larger_where_that_is_asked_for() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    attribution = Attribution("grad_cam", _hot_corner(), {})
    drawn = _drawn(overlay_png(picture, attribution, None, opacity=0.0, least_width=200))
    assert drawn.shape[1] == 200
    np.testing.assert_array_equal(drawn[:150], picture.repeat(25, 0).repeat(25, 1))
    wide = overlay_png(_grey(10, 20_000), attribution, None, least_width=200)
    assert _drawn(wide).shape[1] == MAX_SIDE
    narrow = overlay_png(_grey(MAX_SIDE, 10), attribution, None, least_width=200)
    assert _drawn(narrow).shape[1] == 10


def test_a_caption_makes_the_strip_higher() -> None:
    attribution = Attribution("grad_cam", _hot_corner(), {})
    plain = _drawn(overlay_png(_grey(100, 100), attribution, None))
    captioned = _drawn(overlay_png(_grey(100, 100), attribution, None, caption="tabby cat 0.93"))
    assert captioned.shape[0] > plain.shape[0]
