import re
from pathlib import Path

import pytest

from candor.errors import InvalidModel
from candor.runtime.inputs import ImageInput, SeriesInput, TabularInput, TokensInput
from candor.runtime.manifest import ExplainDefaults, Manifest, load_manifest


def load(folder: Path, text: str) -> Manifest:
    (folder / "model.toml").write_text(text, encoding="utf-8")
    return load_manifest(folder)


def test_a_folder_without_a_manifest_has_an_empty_one(tmp_path):
    assert load_manifest(tmp_path) == Manifest()
    assert load(tmp_path, "") == Manifest()


def test_every_key_of_a_picture_model_is_read(tmp_path):
    text = """
        title = "Photographs"
        licence = "Apache-2.0"
        source = "https://example.org"
        labels = ["cat", "dog"]
        activation = "sigmoid"
        [input]
        kind = "image"
        name = "image"
        layout = "nhwc"
        size = [64, 48]
        resize = "pad"
        range = [-1, 1]
        mean = [0.5, 0.25, 0]
        std = [1, 2, 3]
        channels = "bgr"
        [explain]
        layer = "layer4"
        embedding = "e"
        baseline = 0
        output = "logits"
    """
    assert load(tmp_path, text) == Manifest(
        title="Photographs",
        licence="Apache-2.0",
        source="https://example.org",
        labels=("cat", "dog"),
        activation="sigmoid",
        input=ImageInput(
            name="image",
            layout="nhwc",
            size=(64, 48),
            resize="pad",
            range=(-1.0, 1.0),
            mean=(0.5, 0.25, 0.0),
            std=(1.0, 2.0, 3.0),
            channels="bgr",
        ),
        explain=ExplainDefaults(layer="layer4", embedding="e", baseline=0.0, output="logits"),
    )


def test_every_key_of_a_text_model_is_read(tmp_path):
    text = r"""
        [input]
        kind = "tokens"
        name = "ids"
        vocabulary = "words.txt"
        pattern = '\w+'
        lowercase = false
        pad = "<pad>"
        unknown = "<unk>"
        max_tokens = 128
    """
    assert load(tmp_path, text).input == TokensInput(
        vocabulary=tmp_path / "words.txt",
        name="ids",
        pattern=r"\w+",
        lowercase=False,
        pad="<pad>",
        unknown="<unk>",
        max_tokens=128,
    )


def test_records_and_series_have_named_features(tmp_path):
    text = '[input]\nkind = "{}"\nfeatures = ["age", "height"]'
    assert load(tmp_path, text.format("tabular")).input == TabularInput(features=("age", "height"))
    assert load(tmp_path, text.format("series")).input == SeriesInput(features=("age", "height"))


IMAGE = '[input]\nkind = "image"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('lables = ["a"]', "model.toml: lables is not a known key; did you mean 'labels'?"),
        (IMAGE + "sise = [1, 1]", "model.toml: input.sise is not a known key; did you mean 'size'"),
        (IMAGE + "zzz = 1", "model.toml: input.zzz is not a known key; there are name, layout,"),
        ('[explain]\nlaier = "a"', "explain.laier is not a known key; did you mean 'layer'?"),
        ("title = 7", "model.toml: title must be a text, not 7"),
        ('title = ""', "title must be a text, not ''"),
        ('labels = ["a", "b", "a"]', "labels[2] repeats 'a' of entry 0"),
        ('labels = ["a", 1]', "labels[1] must be a text, not 1"),
        ("labels = []", "labels must be a list of texts, not []"),
        ('labels = "cat"', "labels must be a list of texts, not 'cat'"),
        ('activation = "relu"', "activation must be one of softmax, sigmoid, none, not 'relu'"),
        ("activation = []", "activation must be one of softmax, sigmoid, none, not []"),
        ("input = 3", "input must be a table, not 3"),
        ("explain = 3", "explain must be a table, not 3"),
        ("[input]\nname = 'x'", "input.kind must be one of image, tokens, series, tabular, not No"),
        ("[input]\nkind = 'imgae'", "input.kind must be one of image, tokens, series, tabular"),
        (IMAGE + "size = [64]", "input.size must be a list of 2 numbers, not [64]"),
        (IMAGE + "size = [64, 0]", "input.size[1] must be a whole number from 1 to 16384, not 0"),
        (IMAGE + "size = [64, 64.0]", "input.size[1] must be a whole number"),
        (IMAGE + "size = [true, 64]", "input.size[0] must be a whole number"),
        (IMAGE + "range = [1, 0]", "input.range must rise, but is [1.0, 0.0]"),
        (IMAGE + "range = [1, 1]", "input.range must rise, but is [1.0, 1.0]"),
        (IMAGE + "range = [0, inf]", "input.range[1] must be a finite number, not inf"),
        (IMAGE + "mean = [0, 0]", "input.mean must be a list of 1 or 3 numbers"),
        (IMAGE + "mean = [0]", "input.mean has 1 numbers where channels = 'rgb' needs 3"),
        (IMAGE + 'channels="gray"\nstd = [1,1,1]', "channels = 'gray' needs 1"),
        (IMAGE + "std = [1, 0, 1]", "input.std must be above 0, but is [1.0, 0.0, 1.0]"),
        (IMAGE + 'mean = ["a", 0, 0]', "input.mean[0] must be a finite number, not 'a'"),
        ("[input]\nkind = 'tokens'", "input.vocabulary is missing: the file with one token a line"),
        (
            "[input]\nkind = 'tokens'\nvocabulary = '../words.txt'",
            "input.vocabulary must name a file beside model.toml, not '../words.txt'",
        ),
        (
            "[input]\nkind = 'tokens'\nvocabulary = 'w'\nlowercase = 1",
            "input.lowercase must be true or false, not 1",
        ),
        (
            "[input]\nkind = 'tokens'\nvocabulary = 'w'\nmax_tokens = 0",
            "input.max_tokens must be a whole number from 1 to 1000000, not 0",
        ),
        ("[explain]\nbaseline = nan", "explain.baseline must be a finite number, not nan"),
        ("title = ", "model.toml is not TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_the_path_of_the_key(tmp_path, text, message):
    with pytest.raises(InvalidModel, match=re.escape(message)):
        load(tmp_path, text)


def test_a_manifest_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "model.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(InvalidModel, match=r"model\.toml is not TOML: .*utf-8"):
        load_manifest(tmp_path)


def test_a_manifest_nested_without_end_is_refused(tmp_path):
    with pytest.raises(InvalidModel, match=r"model\.toml is not TOML"):
        load(tmp_path, "labels = " + "[" * 100_000)


def test_a_manifest_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "model.toml").mkdir()
    with pytest.raises(InvalidModel, match=r"model\.toml cannot be read"):
        load_manifest(tmp_path)
