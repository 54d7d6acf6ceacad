import numpy as np
from skimage.transform import resize

from candor.render.placement import covered, place, scaled_view
from candor.result import ImageView


def _whole(width: int, height: int) -> ImageView:
    return ImageView(width, height, (0.0, 0.0, float(width), float(height)))


def test_a_map_over_the_whole_picture_is_resized_as_images_are() -> None:
    values = np.random.default_rng(1).random((7, 5)).astype(np.float32)
    placed = place(values, _whole(43, 60), "bilinear")
    np.testing.assert_allclose(placed, resize(values, (60, 43), order=1, mode="edge"), atol=1e-5)


def test_a_map_of_the_picture_s_own_size_is_unchanged() -> None:
    values = np.random.default_rng(2).random((6, 9)).astype(np.float32)
    np.testing.assert_allclose(place(values, _whole(9, 6), "bilinear"), values, atol=1e-6)


def test_blocks_meet_the_edges_of_the_box() -> None:
    values = np.array([[1, 2], [3, 4]])
    view = ImageView(width=20, height=10, box=(4.0, 0.0, 14.0, 10.0))
    placed = place(values, view, "nearest")
    assert placed.dtype == values.dtype
    assert (placed[:5, 4:9] == 1).all()
    assert (placed[:5, 9:14] == 2).all()
    assert (placed[5:, 4:9] == 3).all()
    assert (placed[5:, 9:14] == 4).all()


def test_only_what_is_inside_the_box_is_covered() -> None:
    inside = covered(ImageView(width=20, height=10, box=(4.0, 2.0, 14.0, 10.0)))
    assert inside.sum() == 10 * 8
    assert inside[2:, 4:14].all()


def test_a_box_that_reaches_outside_the_picture_shows_its_inner_part() -> None:
    values = np.arange(4)[:, None] * np.ones((1, 4), dtype=int)
    placed = place(values, ImageView(4, 2, (0.0, -1.0, 4.0, 3.0)), "nearest")
    np.testing.assert_array_equal(placed[:, 0], [1, 2])


def test_a_view_scales_with_the_drawing() -> None:
    view = scaled_view(ImageView(100, 50, (25.0, 0.0, 75.0, 50.0)), 20, 10)
    assert view == ImageView(20, 10, (5.0, 0.0, 15.0, 10.0))


def test_a_single_value_covers_everything() -> None:
    assert (place(np.array([[3.0]]), _whole(5, 4), "bilinear") == 3.0).all()
