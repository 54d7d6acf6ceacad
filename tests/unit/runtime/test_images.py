import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from candor.errors import InvalidInput, TooLarge
from candor.runtime.images import crop_box, decode, fit, pad_inner, webp_size
from unit.runtime.builders import encode, png_header, quadrants, webp_header


def corners(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Colours near the four corners, row by row."""
    across, down = picture.width - 2, picture.height - 2
    return [picture.getpixel(at) for at in ((1, 1), (across, 1), (1, down), (across, down))]


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 95}),
        ("JPEG", {"quality": 95}),
    ],
)
def test_the_three_formats_are_decoded(kind, options):
    picture = decode(encode(quadrants(), kind, **options), 0)
    assert picture.mode == "RGB"
    assert picture.size == (40, 20)
    np.testing.assert_allclose(corners(picture), [RED, GREEN, BLUE, WHITE], atol=40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_the_camera_was_held(orientation):
    upright = quadrants()
    # what a camera held that way stores: the inverse of what is to be done
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encode(stored, "JPEG", quality=95, exif=exif), 0)
    assert picture.size == (40, 20)
    np.testing.assert_allclose(corners(picture), [RED, GREEN, BLUE, WHITE], atol=40)


def test_a_view_is_in_the_pixels_of_the_turned_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(encode(quadrants(40, 20), "JPEG", exif=exif), 0)
    _, view = fit(picture, (8, 8), "crop")
    assert (view.width, view.height, view.box) == (20, 40, (0.0, 10.0, 20.0, 30.0))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"x"])
def test_a_picture_with_broken_exif_data_counts_as_upright(exif):
    picture = decode(encode(quadrants(), "JPEG", exif=exif), 0)
    assert picture.size == (40, 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode):
    layer = Image.new("RGBA", (4, 1), (0, 0, 0, 255))
    layer.putpixel((0, 0), (0, 0, 0, 0))
    layer.putpixel((1, 0), (0, 0, 0, 128))
    found = decode(encode(layer.convert(mode) if mode != "P" else layer.quantize()), 0)
    assert found.mode == "RGB"
    assert found.getpixel((0, 0)) == WHITE
    np.testing.assert_allclose(found.getpixel((1, 0)), (127, 127, 127), atol=1)
    assert found.getpixel((3, 0)) == (0, 0, 0)


def test_a_colour_that_is_declared_transparent_lies_on_white():
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((0, 0), BLUE)
    found = decode(encode(picture, transparency=BLUE), 0)
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]


def test_sixteen_bits_keep_their_upper_eight():
    values = np.array([[0, 255, 256, 0x8000, 0xFFFF]], np.uint16)
    found = decode(encode(Image.fromarray(values)), 0)
    assert np.asarray(found)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert found.mode == "RGB"


def test_a_picture_of_one_bit_is_black_and_white():
    found = decode(encode(Image.fromarray(np.array([[True, False]]))), 0)
    assert np.asarray(found)[0].tolist() == [[255] * 3, [0] * 3]


def test_the_inks_of_cmyk_become_rgb():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = decode(encode(cmyk, "JPEG", quality=95), 0)
    np.testing.assert_allclose(found.getpixel((8, 8)), RED, atol=6)


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        animated = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode(animated, 0).getpixel((4, 4)) == RED


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (png_header(60_000, 60_000), "PNG"),
        (webp_header(b"VP8X", 60_000, 60_000), "WebP"),
        (webp_header(b"VP8L", 16_000, 16_000), "WebP"),
        (webp_header(b"VP8 ", 16_000, 16_000), "WebP"),
    ],
    ids=["png", "webp extended", "webp lossless", "webp lossy"],
)
def test_a_bomb_is_refused_by_its_header_with_both_numbers(sent, name):
    side = 60_000 if b"VP8L" not in sent and b"VP8 " not in sent else 16_000
    message = (
        f"row 3: the {name} picture has {side} x {side} = {side * side} pixels, the limit is "
        "64000000"
    )
    began = time.thread_time()
    with pytest.raises(TooLarge, match=re.escape(message)):
        decode(sent, 3)
    assert time.thread_time() - began < 0.5


def test_the_limit_of_pixels_is_a_setting_and_inclusive():
    sent = encode(quadrants(40, 20))
    assert decode(sent, 0, max_pixels=800)
    with pytest.raises(TooLarge, match="40 x 20 = 800 pixels, the limit is 799"):
        decode(sent, 0, max_pixels=799)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"save_all": True}])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)])
def test_the_size_is_read_from_every_kind_of_webp_header(size, options):
    frames = [Image.new("RGB", size, colour) for colour in (RED, GREEN)]
    if "save_all" in options:
        options = options | {"append_images": frames[1:]}
    assert webp_size(encode(frames[0], "WEBP", **options)) == size


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "row 2: not a picture: what was sent (0 bytes) is empty"),
        (b"hello, world", "row 2: not a picture: what was sent (12 bytes) begins with b'hello, w"),
        (b"GIF89a" + bytes(40), "begins with b'GIF89a"),
        (b"\xff\xd8\xff", "row 2: 3 bytes begin like a JPEG picture, but do not go on like one"),
        (encode(quadrants(), "PNG")[:20], "begin like a PNG picture, but do not go on"),
        (encode(quadrants(), "WEBP")[:40], "begin like a WebP picture, but do not go on"),
        (encode(quadrants(400, 400), "PNG")[:-60], "row 2: the PNG picture of 400 x 400 pixels in"),
        (
            encode(quadrants(400, 400), "JPEG")[:-300],
            "row 2: the JPEG picture of 400 x 400 pixels in",
        ),
        (png_header(8, 8), "row 2: the PNG picture of 8 x 8 pixels in 69 bytes is broken or cut"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_what_was_found(sent, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        decode(sent, 2)


def test_a_png_that_leaves_its_palette_out_is_refused():
    whole = encode(quadrants().convert("P"), "PNG")
    at = whole.index(b"PLTE") - 4
    length = int.from_bytes(whole[at : at + 4], "big")
    with pytest.raises(InvalidInput, match="colours are of a palette, and it has none"):
        decode(whole[:at] + whole[at + length + 12 :], 0)


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 3)])
def test_pictures_of_extreme_sizes_fit(size, resize):
    picture = decode(encode(Image.new("RGB", size, GREEN)), 0)
    fitted, view = fit(picture, (6, 4), resize)
    assert fitted.size == (4, 6)
    assert (view.width, view.height) == size
    assert GREEN in {fitted.getpixel((x, y)) for x in range(4) for y in range(6)}


def test_crop_takes_the_middle():
    # red, green, green, blue in four columns of ten
    picture = Image.new("RGB", (40, 20), GREEN)
    picture.paste(RED, (0, 0, 10, 20))
    picture.paste(BLUE, (30, 0, 40, 20))
    fitted, view = fit(picture, (10, 10), "crop")
    assert view.box == (10.0, 0.0, 30.0, 20.0)
    # the columns at the edge are blended with their neighbours outside
    assert {fitted.getpixel((x, y)) for x in range(1, 9) for y in range(10)} == {GREEN}


def test_stretch_takes_all_of_it():
    fitted, view = fit(quadrants(40, 20), (8, 8), "stretch")
    assert view.box == (0.0, 0.0, 40.0, 20.0)
    assert corners(fitted) == [RED, GREEN, BLUE, WHITE]


def test_pad_keeps_all_of_it_between_black_bars():
    fitted, view = fit(quadrants(40, 20), (16, 16), "pad")
    assert view.box == (0.0, -10.0, 40.0, 30.0)
    assert corners(fitted.crop((0, 4, 16, 12))) == [RED, GREEN, BLUE, WHITE]
    assert corners(fitted) == [(0, 0, 0)] * 4


def test_a_picture_that_shrinks_is_averaged_over_all_of_its_pixels():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    fitted, _ = fit(Image.fromarray(stripes), (8, 8), "stretch")
    # every second column alone would be all black or all white
    np.testing.assert_allclose(np.asarray(fitted), 127.5, atol=6)


sides = st.integers(1, 20_000)
targets = st.tuples(st.integers(1, 512), st.integers(1, 512))


@given(sides, sides, targets)
@settings(deadline=None)
def test_the_crop_is_centred_of_the_right_shape_and_as_large_as_can_be(width, height, size):
    left, top, right, bottom = crop_box((width, height), size)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert left == pytest.approx(width - right, abs=1e-6)
    assert top == pytest.approx(height - bottom, abs=1e-6)
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0], rel=1e-6)
    assert right - left == pytest.approx(width) or bottom - top == pytest.approx(height)


@given(sides, sides, targets)
@settings(deadline=None)
def test_the_padded_picture_lies_inside_and_touches_two_sides(width, height, size):
    (across, down), left, top = pad_inner((width, height), size)
    assert 1 <= across <= size[1]
    assert 1 <= down <= size[0]
    assert across == size[1] or down == size[0]
    assert 0 <= left <= size[1] - across
    assert 0 <= top <= size[0] - down
    assert abs(size[1] - across - 2 * left) <= 1
    assert abs(size[0] - down - 2 * top) <= 1


@given(st.integers(1, 60), st.integers(1, 60), st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(deadline=None)
def test_the_box_of_a_padded_picture_maps_back_onto_it(width, height, size):
    picture = Image.new("RGB", (width, height), WHITE)
    fitted, view = fit(picture, size, "pad")
    left, top, right, bottom = view.box
    seen = np.asarray(fitted)[:, :, 0] > 0
    for y, x in ((0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 2)):
        at_x = left + (x + 0.5) / size[1] * (right - left)
        at_y = top + (y + 0.5) / size[0] * (bottom - top)
        assert seen[y, x] == (0 <= at_x <= width and 0 <= at_y <= height)
