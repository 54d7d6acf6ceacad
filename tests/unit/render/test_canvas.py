"""The same drawing in pixels and as SVG."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from candor.render.bars import draw_bars
from candor.render.canvas import Raster, Vector, png
from candor.render.colours import SIGNED
from candor.render.scale import scale_of, style_of
from candor.render.series import draw_series
from candor.result import Attribution

RED = tuple(int(part) for part in SIGNED[-1])
SPACE = "{http://www.w3.org/2000/svg}"


def parsed(canvas: Vector) -> ElementTree.Element:
    return ElementTree.fromstring(canvas.encoded())  # noqa: S314 - our own


def test_boxes_are_where_they_are_said_to_be_on_both() -> None:
    raster, vector = Raster(40, 30), Vector(40, 30)
    for canvas in (raster, vector):
        canvas.box((10, 5, 20, 25), RED)
    filled = (np.asarray(raster.image) == RED).all(axis=-1)
    assert np.flatnonzero(filled.any(axis=0)).tolist() == list(range(10, 20))
    assert np.flatnonzero(filled.any(axis=1)).tolist() == list(range(5, 25))
    box = parsed(vector).findall(f"{SPACE}rect")[-1]
    assert [box.get(key) for key in ("x", "y", "width", "height")] == ["10", "5", "10", "20"]
    assert box.get("fill") == "#" + "".join(f"{part:02x}" for part in RED)


def test_slanted_lines_are_smooth_in_pixels() -> None:
    raster = Raster(40, 40)
    raster.line([(0, 0), (40, 23)], (0, 0, 0), 1)
    assert len(np.unique(np.asarray(raster.image))) > 2


@pytest.mark.parametrize("text", ["<b>&\"'", "a\x00b\x1bc\nd", "naïve 👍"])
def test_any_text_leaves_the_file_well_formed(text: str) -> None:
    vector = Vector(90, 30)
    vector.text((5, 5), text, 12, (0, 0, 0), "la")
    (found,) = parsed(vector).findall(f"{SPACE}text")
    assert found.text == text.translate({0: "\ufffd", 0x1B: "\ufffd", 10: " "})


def test_a_drawing_says_what_it_shows_to_whoever_cannot_see_it() -> None:
    values = Attribution("lime", np.array([1.0, -2.0]), {})
    drawn = draw_bars(Vector, values, ["a", "b"], caption="lime: <cat>\nwhat each part adds")
    assert parsed(drawn).get("role") == "img"
    assert parsed(drawn).findtext(f"{SPACE}title") == "lime: <cat> what each part adds"
    file = draw_bars(Raster, values, ["a", "b"], caption="lime: 猫").encoded()
    assert Image.open(io.BytesIO(file)).info["Description"] == "lime: 猫"
    assert Image.open(io.BytesIO(png(Image.new("RGB", (2, 2)), "dot"))).size == (2, 2)


def test_a_vector_drawing_can_be_shown_in_any_size() -> None:
    assert parsed(Vector(90, 30)).get("viewBox") == "0 0 90 30"


def test_features_that_are_left_out_are_counted() -> None:
    values = Attribution("lime", np.arange(30.0), {})
    names = [f"column {number}" for number in range(30)]
    words = "".join(parsed(draw_bars(Vector, values, names)).itertext())
    assert "20 of 30 features" in words


def test_the_axes_of_a_series_have_their_numbers() -> None:
    values = Attribution("occlusion", np.zeros(96), {})
    curve = np.linspace(-1.5, 4, 96)
    words = list(parsed(draw_series(Vector, values, curve)).itertext())
    assert {"0", "95", "step", "4", "-1.5"} <= set(words)
    one = draw_series(Vector, Attribution("occlusion", np.zeros(1), {}), curve[:1])
    assert "0" in set(parsed(one).itertext())


def test_a_ramp_runs_from_its_first_colour_to_its_last() -> None:
    raster, vector = Raster(64, 10), Vector(64, 10)
    for canvas in (raster, vector):
        canvas.ramp((0, 0, 64, 10), SIGNED)
    pixels = np.asarray(raster.image).astype(int)
    assert np.abs(pixels[5, 0] - SIGNED[0]).max() < 8
    assert np.abs(pixels[5, -1] - SIGNED[-1]).max() < 8
    stops = parsed(vector).findall(f".//{SPACE}stop")
    assert stops[0].get("stop-color") == "#{:02x}{:02x}{:02x}".format(*SIGNED[0])
    assert stops[-1].get("stop-color") == "#{:02x}{:02x}{:02x}".format(*SIGNED[-1])


def test_magnitudes_on_paper_grow_darker_and_zero_is_neutral() -> None:
    scale = scale_of(np.array([0.0, 1.0]), style_of("grad_cam"), on_paper=True)
    colours = scale.colours(np.linspace(0, 1, 20)).astype(int)
    assert (np.diff(colours.sum(axis=-1)) <= 0).all()
    assert np.ptp(colours[0]) < 6
    assert tuple(colours[-1]) == RED


def test_each_bar_and_each_channel_of_a_vector_drawing_has_its_name() -> None:
    bars = draw_bars(Vector, Attribution("lime", np.array([1.0, -2.0]), {}), ["a & b", "sex=Male"])
    words = "".join(parsed(bars).itertext())
    assert "a & b" in words
    assert words.index("sex=Male") < words.index("a & b"), "the largest first"
    maps = Attribution("lime", np.ones((4, 2)), {})
    series = draw_series(Vector, maps, np.ones((4, 2)), names=["left", "right"], caption="why")
    words = "".join(parsed(series).itertext())
    assert {"left", "right", "why"} <= set(parsed(series).itertext())
    assert "speaks for" in words
    bare = draw_series(Vector, maps, names=["only one"])
    assert "only one" not in "".join(parsed(bare).itertext())
