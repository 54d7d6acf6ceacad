import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from candor.autodiff import Graph
from candor.errors import Unsupported
from candor.runtime.geometry import geometry_of
from candor.runtime.inputs import ImageInput, SeriesInput, TabularInput, TokensInput
from candor.runtime.manifest import ExplainDefaults, Manifest
from candor.runtime.tokens import load_tokenizer
from unit.runtime.builders import FLOAT, INT64, model, value


def geometry(shape, kind=FLOAT, manifest=None, tokenizer=None, operator="Identity"):
    inputs = ["x", "w"] if operator == "Conv" else ["x"]
    declared = [value("x", kind, shape)]
    if operator == "Conv":
        declared.append(value("w", FLOAT, [2, shape[1], 3]))
    node = helper.make_node(operator, inputs, ["y"])
    graph = Graph(model([node], declared, [value("y", kind, None)]))
    found = geometry_of(graph, "x", manifest or Manifest(), tokenizer)
    return found.kind, found.channel_axis


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (["n", 3, 8, 8], ("image", 0)),
        (["n", 8, 8, 3], ("image", 2)),
        (["n", 3, 8, 3], ("image", 0)),
        (["n", 16, 8, 8], ("image", 0)),
        (["n", 3, "h", "w"], ("image", 0)),
        (["n", "t", 5], ("series", 1)),
        (["n", 5], ("tabular", None)),
    ],
)
def test_what_a_row_is_follows_from_the_sizes(shape, expected):
    assert geometry(shape) == expected


def test_whole_numbers_of_two_axes_are_tokens():
    assert geometry(["n", "t"], INT64) == ("tokens", None)


def test_a_series_that_goes_straight_into_a_convolution_has_its_channels_first():
    assert geometry(["n", 4, 9], operator="Conv") == ("series", 0)


@pytest.mark.parametrize("shape", [["n", 21, 14, 2], ["n", 3, 9, 4], ["n", "h", "w", 12]])
def test_a_picture_that_sizes_leave_open_has_its_channels_where_a_convolution_reads_them(shape):
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "w"], ["y"]),
    ]
    declared = [value("x", FLOAT, shape), value("w", FLOAT, [2, shape[3], 1, 1])]
    graph = Graph(model(nodes, declared, [value("y", FLOAT, None)]))
    assert geometry_of(graph, "x", Manifest(), None).channel_axis == 2


@pytest.mark.parametrize(
    ("section", "shape", "expected"),
    [
        (ImageInput(layout="nhwc"), ["n", "h", "w", "c"], ("image", 2)),
        (ImageInput(layout="nchw"), ["n", 3, 4, 3], ("image", 0)),
        (SeriesInput(), ["n", "t", 5], ("series", 1)),
        (SeriesInput(), ["n", "t"], ("series", None)),
        (SeriesInput(), ["n", 900], ("series", None)),
        (TabularInput(), ["n", 5], ("tabular", None)),
    ],
)
def test_the_manifest_decides_what_a_row_is(section, shape, expected):
    assert geometry(shape, manifest=Manifest(input=section)) == expected


def test_pad_unknown_and_baseline_come_from_the_manifest(tmp_path):
    (tmp_path / "words.txt").write_text("<unk>\nfine\n<pad>\n")
    section = TokensInput(vocabulary=tmp_path / "words.txt", pad="<pad>", unknown="<unk>")
    manifest = Manifest(input=section, explain=ExplainDefaults(baseline=0.5))
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = Graph(model([node], [value("x", INT64, ["n", "t"])], [value("y", INT64, None)]))
    found = geometry_of(graph, "x", manifest, load_tokenizer(section))
    assert (found.kind, found.pad, found.unknown, found.baseline) == ("tokens", 2, 0, 0.5)


def test_an_input_of_another_form_is_refused():
    with pytest.raises(Unsupported, match="input 'x' has 1 axes"):
        geometry(["n"], TensorProto.BOOL)


SERIES = ["n", 4, 9]


def series_axis(*nodes, shape=SERIES, **constants):
    """The channel axis of a series that goes through the nodes; values are x, 1, 2, ..."""
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    last = nodes[-1].output[0]
    proto = model(list(nodes), [value("x", FLOAT, shape)], [value(last, FLOAT, None)], initializers)
    return geometry_of(Graph(proto), "x", Manifest(), None).channel_axis


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


KERNEL = np.ones((2, 4, 3), np.float32)
SCALE = np.ones((4, 1), np.float32)


@pytest.mark.parametrize(
    "before",
    [
        (node("Sub", ["x", "scale"], "1"), node("Div", ["1", "scale"], "2")),
        (node("Cast", ["x"], "1", to=FLOAT), node("Clip", ["1"], "2")),
        (node("Identity", ["x"], "1"), node("Pad", ["1", "pads"], "2")),
        tuple(node("Transpose", [a], b, perm=[0, 2, 1]) for a, b in ("x1", "12")),
    ],
)
def test_a_normalisation_before_the_convolution_does_not_hide_it(before):
    pads = np.array([0, 0, 1, 0, 0, 1], np.int64)
    convolution = node("Conv", ["2", "w"], "y")
    assert series_axis(*before, convolution, w=KERNEL, scale=SCALE, pads=pads) == 0


def test_the_first_layer_with_an_opinion_decides():
    four = np.ones(4, np.float32)
    normal = node("BatchNormalization", ["x", "a", "a", "a", "a"], "y")
    assert series_axis(normal, a=four) == 0
    turned = node("Transpose", ["x"], "1", perm=[0, 2, 1]), node("Conv", ["1", "w"], "y")
    assert series_axis(*turned, shape=["n", 9, 4], w=KERNEL) == 1
    lstm = node("LSTM", ["1", "w", "r"], "y", hidden_size=1)
    steps_first = node("Transpose", ["x"], "1", perm=[1, 0, 2])
    weights = {"w": np.ones((1, 4, 9), np.float32), "r": np.ones((1, 4, 1), np.float32)}
    assert series_axis(steps_first, lstm, **weights) == 1
    # a layer over time, as in mixers, has no opinion on which axis holds the channels
    mixer = node("Transpose", ["x"], "1", perm=[0, 2, 1]), node("MatMul", ["1", "w"], "y")
    assert series_axis(*mixer, w=np.ones((4, 2), np.float32)) == 1


def test_a_series_that_becomes_a_picture_one_pixel_high_keeps_its_channels():
    picture = node("Unsqueeze", ["x", "at"], "1")
    kernel = np.ones((2, 4, 1, 3), np.float32)
    two = np.array([2], np.int64)
    assert series_axis(picture, node("Conv", ["1", "w"], "y"), w=kernel, at=two) == 0
    back = node("Squeeze", ["1", "at"], "2")
    assert series_axis(picture, back, node("Conv", ["2", "w"], "y"), w=KERNEL, at=two) == 0
    # the picture's one channel is new: the convolution says nothing of the series' own
    plane = np.ones((2, 1, 3, 3), np.float32)
    one = np.array([1], np.int64)
    assert series_axis(picture, node("Conv", ["1", "w"], "y"), w=plane, at=one) == 1
