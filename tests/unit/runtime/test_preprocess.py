import re

import numpy as np
import pytest
from PIL import Image

from candor.errors import InvalidInput, InvalidModel, TooLarge
from candor.result import Images, ImageView, Tensors, Texts, TextView
from candor.runtime.inputs import ImageInput, SeriesInput, TabularInput, TokensInput
from candor.runtime.manifest import Manifest
from candor.runtime.preprocess import encode, plan
from candor.runtime.specs import TensorSpec
from unit.runtime import builders

NCHW = TensorSpec("image", "FP32", (-1, 3, 4, 4), ("n", "", "", ""))
NHWC = TensorSpec("image", "FP32", (-1, 4, 4, 3), ("n", "", "", ""))
IDS = TensorSpec("ids", "INT64", (-1, -1), ("n", "t"))
COLOUR = (51, 102, 204)


def picture(colour=COLOUR, size=(8, 8)) -> Images:
    return Images((builders.encode(Image.new("RGB", size, colour)),))


def prepared(section, spec=NCHW, payload=None):
    preprocessing = plan(Manifest(input=section), [spec])
    return encode(payload or picture(), preprocessing)


def test_tensors_pass_through_without_a_manifest():
    x = np.ones((2, 3, 4, 4), np.float32)
    found = encode(Tensors({"image": x}), plan(Manifest(), [NCHW]))
    assert found.tensors["image"] is x
    assert found.views == (None, None)


def test_tensors_are_checked():
    with pytest.raises(InvalidInput, match="was sent as FP64"):
        encode(Tensors({"image": np.ones((2, 3, 4, 4))}), plan(Manifest(), [NCHW]))


def test_a_picture_becomes_float_channels_between_zero_and_one():
    found = prepared(ImageInput())
    x = found.tensors["image"]
    assert (x.shape, x.dtype) == ((1, 3, 4, 4), np.float32)
    np.testing.assert_allclose(x[0, :, 1, 1], [0.2, 0.4, 0.8], rtol=1e-6)
    assert found.views == (ImageView(8, 8, (0.0, 0.0, 8.0, 8.0)),)


def test_range_mean_and_std_are_applied_in_this_order_per_channel():
    section = ImageInput(range=(-1, 1), mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    x = prepared(section).tensors["image"]
    expected = (np.array([0.2, 0.4, 0.8]) * 2 - 1 - [0.1, 0.2, 0.3]) / [0.5, 1, 2]
    np.testing.assert_allclose(x[0, :, 2, 2], expected, rtol=1e-6)


def test_the_last_axis_holds_the_channels_where_the_model_has_them_there():
    x = prepared(ImageInput(), NHWC).tensors["image"]
    assert x.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(x[0, 0, 0], [0.2, 0.4, 0.8], rtol=1e-6)


def test_channels_may_be_turned_round_with_means_in_the_models_order():
    x = prepared(ImageInput(channels="bgr", mean=(0.8, 0.4, 0.2))).tensors["image"]
    np.testing.assert_allclose(x[0, :, 0, 0], [0, 0, 0], atol=1e-6)


def test_gray_is_one_channel_of_luminance():
    spec = TensorSpec("image", "FP32", (-1, 1, 4, 4))
    x = prepared(ImageInput(channels="gray"), spec).tensors["image"]
    assert x.shape == (1, 1, 4, 4)
    luminance = 0.299 * 51 + 0.587 * 102 + 0.114 * 204
    np.testing.assert_allclose(x[0, 0, 0, 0] * 255, luminance, atol=1)


def test_rows_keep_their_order_and_each_has_its_view():
    sent = Images(picture((255, 0, 0), (8, 8)).encoded + picture((0, 0, 255), (16, 8)).encoded)
    found = prepared(ImageInput(), payload=sent)
    assert found.tensors["image"][:, :, 0, 0].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert [view.width for view in found.views] == [8, 16]
    assert found.views[1].box == (4.0, 0.0, 12.0, 8.0)


def test_the_bad_row_is_named():
    sent = Images((*picture().encoded, b"text"))
    with pytest.raises(InvalidInput, match="row 1: not a picture"):
        prepared(ImageInput(), payload=sent)


def test_the_limit_of_pixels_reaches_the_decoder():
    preprocessing = plan(Manifest(input=ImageInput()), [NCHW], max_image_pixels=63)
    with pytest.raises(TooLarge, match="8 x 8 = 64 pixels, the limit is 63"):
        encode(picture(), preprocessing)


def test_many_large_pictures_in_one_request_are_refused():
    preprocessing = plan(Manifest(input=ImageInput()), [NCHW], max_image_pixels=64)
    assert encode(Images(picture().encoded * 4), preprocessing)
    message = "row 4: the pictures up to this one have 320 pixels together, the limit of one .* 256"
    with pytest.raises(TooLarge, match=message):
        encode(Images(picture().encoded * 5), preprocessing)


def test_a_model_of_free_size_takes_it_from_the_manifest():
    spec = TensorSpec("image", "FP32", (-1, 3, -1, -1))
    assert prepared(ImageInput(size=(5, 7)), spec).tensors["image"].shape == (1, 3, 5, 7)


@pytest.mark.parametrize(
    ("section", "spec", "message"),
    [
        (
            ImageInput(size=(8, 8)),
            NCHW,
            "input.size is [8, 8], but input 'image' is FP32[-1,3,4,4]",
        ),
        (ImageInput(), TensorSpec("x", "FP32", (-1, 3, -1, -1)), "input.size is missing"),
        (ImageInput(), TensorSpec("x", "FP32", (-1, -1, -1, -1)), "input.layout is missing"),
        (ImageInput(), TensorSpec("x", "FP32", (-1, 3, 4, 3)), "could be nchw or nhwc"),
        (
            ImageInput(layout="nhwc"),
            NCHW,
            "makes 3 channels, but input 'image' FP32[-1,3,4,4] has 4",
        ),
        (ImageInput(channels="gray", layout="nchw"), NCHW, "makes 1 channels, but"),
        (ImageInput(), TensorSpec("x", "UINT8", (-1, 3, 4, 4)), "pictures become FP32 of 4 axes"),
        (ImageInput(), TensorSpec("x", "FP32", (-1, 3)), "pictures become FP32 of 4 axes"),
        (ImageInput(name="y"), NCHW, "input.name is 'y', but the model's inputs are 'image'"),
    ],
)
def test_a_manifest_that_does_not_fit_the_graph_is_refused_at_load(section, spec, message):
    with pytest.raises(InvalidModel, match=re.escape(message)):
        plan(Manifest(input=section), [spec])


def test_a_model_of_several_inputs_needs_the_name_of_one():
    with pytest.raises(InvalidModel, match=r"2 inputs: set input.name to one of 'image', 'ids'"):
        plan(Manifest(input=ImageInput()), [NCHW, IDS])
    assert plan(Manifest(input=ImageInput(name="image")), [NCHW, IDS]).images.spec is NCHW


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "words.txt").write_text("<pad>\n<unk>\nfine\n")
    return TokensInput(vocabulary=tmp_path / "words.txt", pad="<pad>", unknown="<unk>")


def test_texts_become_ids(tokens):
    found = prepared(tokens, IDS, Texts(("Fine!", "fine")))
    assert found.tensors["ids"].tolist() == [[2, 1], [2, 0]]
    assert found.views[1] == TextView(("fine",), ((0, 4),), (True,))


def test_ids_are_of_the_type_and_length_that_the_graph_has(tokens):
    spec = TensorSpec("ids", "INT32", (-1, 5))
    ids = prepared(tokens, spec, Texts(("fine",))).tensors["ids"]
    assert (ids.dtype, ids.tolist()) == (np.int32, [[2, 0, 0, 0, 0]])


def test_a_text_model_must_take_whole_numbers(tokens):
    with pytest.raises(InvalidModel, match=r"texts become INT64 or INT32 .* 'image' is FP32"):
        plan(Manifest(input=tokens), [NCHW])


def test_a_payload_that_the_manifest_does_not_prepare_is_refused_with_what_is_taken(tokens):
    takes_texts = plan(Manifest(input=tokens), [IDS])
    message = "how pictures are prepared; it takes texts and tensors ('ids' INT64[-1,-1])"
    with pytest.raises(InvalidInput, match=re.escape(message)):
        encode(picture(), takes_texts)
    with pytest.raises(InvalidInput, match="how texts are prepared; it takes tensors"):
        encode(Texts(("a",)), plan(Manifest(), [NCHW]))


@pytest.mark.parametrize("payload", [Images(()), Texts(())])
def test_a_request_without_rows_is_refused(tokens, payload):
    section, spec = (ImageInput(), NCHW) if isinstance(payload, Images) else (tokens, IDS)
    with pytest.raises(InvalidInput, match="one a row is needed"):
        prepared(section, spec, payload)


def test_a_model_of_fixed_batch_refuses_another_number_of_pictures():
    spec = TensorSpec("image", "FP32", (1, 3, 4, 4))
    sent = Images(picture().encoded * 2)
    with pytest.raises(InvalidInput, match="axis 0 must be 1, not 2"):
        prepared(ImageInput(), spec, sent)


def test_nothing_is_decoded_of_a_request_that_is_too_large(monkeypatch):
    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("candor.runtime.images.decode", decode)
    preprocessing = plan(Manifest(input=ImageInput()), [NCHW], max_image_pixels=64)
    for kind in ("PNG", "JPEG", "WEBP"):
        large = builders.encode(Image.new("RGB", (8, 8)), kind)
        with pytest.raises(TooLarge, match="row 4: the pictures up to this one have 320 pixels"):
            encode(Images((large,) * 5), preprocessing)


def test_the_manifests_vocabulary_is_told():
    assert plan(Manifest(), [IDS]).vocabulary == {}


@pytest.mark.parametrize(
    ("section", "shape"),
    [
        (SeriesInput(), (-1, -1)),
        (SeriesInput(features=("pressure",)), (-1, 900)),
        (SeriesInput(features=("x", "y", "z")), (-1, -1, 3)),
        (SeriesInput(features=("x", "y", "z")), (-1, 3, 50)),  # channels first
        (TabularInput(features=("age", "sex")), (-1, 2)),
        (TabularInput(features=("age", "sex")), (-1, -1)),
    ],
)
def test_series_and_records_pass_through_as_tensors(section, shape):
    x = np.ones([abs(size) for size in shape], np.float32)
    found = encode(
        Tensors({"x": x}), plan(Manifest(input=section), [TensorSpec("x", "FP32", shape)])
    )
    assert found.tensors["x"] is x


@pytest.mark.parametrize(
    ("section", "shape", "says"),
    [
        (SeriesInput(), (-1,), r"a series is \[n, t, f\], or \[n, t\] .* 'x' is FP32\[-1\]"),
        (SeriesInput(), (-1, 3, 8, 8), r"a series is"),
        (TabularInput(), (-1, 5, 2), r"a record is \[n, f\], but input 'x' is FP32\[-1,5,2\]"),
        (SeriesInput(features=("left", "right")), (-1, -1), "has 2 names.* has 1 columns"),
        (SeriesInput(features=("left", "right")), (-1, 50, 3), "has 2 names.* 50 or 3 columns"),
        (TabularInput(features=("age",)), (-1, 2), "has 1 names.* has 2 columns"),
    ],
)
def test_series_and_records_must_be_what_the_graph_takes(section, shape, says):
    with pytest.raises(InvalidModel, match=says):
        plan(Manifest(input=section), [TensorSpec("x", "FP32", shape)])
