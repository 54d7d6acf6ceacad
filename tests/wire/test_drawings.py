"""Drawings of every kind of row, asked for through the typed API."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from candor.errors import InvalidOption
from packaged import records, waves

SENTENCE = "A <b>wonderful</b> & warm film, zzyzx."
RECORDS = records().inputs[:2]
VOWELS = waves(12, 9, 20, 20).inputs[:1]
BEATS = waves(1, 2, 96, 96).inputs[:1]


def drawn(client, model, methods, render=True, **rows):
    found = client.explain(model, methods, render=render, **rows)
    return [answer.drawing for answer in found.answers]


def opened(drawing):
    assert drawing.media_type == "image/png"
    return Image.open(io.BytesIO(drawing.content))


def lettering(drawing):
    """All text of an SVG file, which has to be well-formed."""
    assert drawing.media_type == "image/svg+xml"
    root = ElementTree.fromstring(drawing.content)  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return " ".join(root.itertext())


def test_a_text_is_drawn_as_a_page_by_itself(client):
    (page,) = drawn(client, "sentences", ["lime"], texts=[SENTENCE])
    assert page.media_type == "text/html"
    html = page.content.decode()
    assert "&lt;" in html, "the text's own markup is text"
    assert "<b>wonderful" not in html
    assert ">wonderful</b>" in html
    assert "<u>zzyzx</u>" in html
    assert html.count("speaks for") == 1
    assert "lime: positive" in html


def test_a_text_can_be_drawn_in_pixels_too(client):
    for drawing in drawn(client, "sentences", ["gradient", "lime"], "png", texts=[SENTENCE]):
        assert opened(drawing).width == 640


@pytest.mark.parametrize(
    ("model", "rows", "methods"),
    [
        ("ecg200-fcn", BEATS, ["grad_cam", "lime"]),
        ("vowels-gru", VOWELS, ["occlusion", "grad_cam"]),
    ],
)
def test_a_series_is_drawn_in_pixels_and_as_svg(client, model, rows, methods):
    pixels = drawn(client, model, methods, tensors={"series": rows})
    for drawing in pixels:
        colours = np.asarray(opened(drawing).convert("RGB"))
        assert colours.shape[1] == 640
        assert (colours[:150].sum(axis=-1) < 300).any(), "a dark curve"
    vectors = drawn(client, model, methods, "svg", tensors={"series": rows})
    for method, drawing in zip(methods, vectors, strict=True):
        assert f"{method}: " in lettering(drawing)
        n_curves = drawing.content.count(b"<polyline")
        assert n_curves == rows.shape[2] + 1, "a curve each channel, and the line of zero"


def test_channels_that_are_kept_have_a_band_each_by_name(client):
    methods = [{"integrated_gradients": {"channels": "keep"}, "lime": {"channels": "keep"}}]
    for drawing in drawn(client, "vowels-lstm", methods, "svg", tensors={"series": VOWELS}):
        assert "cepstrum 12" in lettering(drawing)


def test_the_features_of_a_record_are_drawn_as_bars_with_what_was_in_them(client):
    gradient, other, lime, _ = drawn(
        client, "adult-mlp", ["occlusion", "lime"], "svg", tensors={"record": RECORDS}
    )
    assert "age 39" in lettering(gradient)
    assert "workclass=State-gov" in lettering(gradient)
    assert "sex=Female" in lettering(other)
    assert "37.00 < age <= 47.00" in lettering(lime)
    assert "capital gain > 0.00" in lettering(lime)
    assert opened(drawn(client, "adult-mlp", ["lime"], tensors={"record": RECORDS})[0]).width == 560


def test_a_picture_is_drawn_as_its_overlay(client, cat):
    found = client.explain("photos", ["cam"], images=[cat], render=0.7).of("cam")
    assert found.drawing.content is found.overlay_png
    assert opened(found.drawing).width == Image.open(io.BytesIO(cat)).width


def test_nothing_is_drawn_that_was_not_asked_for(client):
    found = client.explain("sentences", ["gradient"], texts=[SENTENCE])
    assert found.of("gradient").drawing is None


@pytest.mark.parametrize(
    ("model", "render", "rows", "says"),
    [
        ("photos", True, {"tensors": {"image": np.zeros((1, 3, 64, 64), np.float32)}}, "images or"),
        ("sentences", True, {"tensors": {"tokens": np.ones((1, 4), np.int64)}}, "input.texts"),
        ("sentences", "svg", {"texts": ["good"]}, "drawn as text/html or image/png"),
        ("adult-mlp", "html", {"tensors": {"record": RECORDS}}, "image/png or image/svg"),
        (
            "adult-mlp",
            "gif",
            {"tensors": {"record": RECORDS}},
            "'gif' is not one of png, svg, html",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(client, model, render, rows, says):
    with pytest.raises(InvalidOption, match=says):
        client.explain(model, ["gradient"], render=render, **rows)
