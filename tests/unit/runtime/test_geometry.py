import pytest
from onnx import TensorProto, helper

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


@pytest.mark.parametrize(
    ("section", "shape", "expected"),
    [
        (ImageInput(layout="nhwc"), ["n", "h", "w", "c"], ("image", 2)),
        (ImageInput(layout="nchw"), ["n", 3, 4, 3], ("image", 0)),
        (SeriesInput(), ["n", "t", 5], ("series", 1)),
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
