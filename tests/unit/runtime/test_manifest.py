import re
from pathlib import Path

import pytest

from candor.errors import InvalidModel
from candor.geometry import CategoryColumn, NumberColumn
from candor.runtime.inputs import ImageInput, SeriesInput, TabularInput, TokensInput
from candor.runtime.manifest import BatchingSection, ExplainDefaults, Manifest, load_manifest


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


STATISTICS = """
[input]
kind = "tabular"
features = ["age", "sex"]
[input.statistics.age]
mean = 40
std = 12.5
low = 17.0
high = 90.0
edges = [28.0, 48.0]
counts = [3, 2, 0]
means = [20.0, 40.0, 0.0]
stds = [1.0, 0.0, 0.0]
[input.statistics."sex"]
values = [0, 1]
counts = [2, 3]
labels = ["Female", "Male"]
"""


def test_statistics_of_the_training_data_are_read_in_the_order_of_the_features(tmp_path):
    age = NumberColumn(
        40.0, 12.5, 17.0, 90.0, (28.0, 48.0), (3.0, 2.0, 0.0), (20.0, 40.0, 0.0), (1.0, 0.0, 0.0)
    )
    sex = CategoryColumn((0.0, 1.0), (2.0, 3.0), ("Female", "Male"))
    assert load(tmp_path, STATISTICS).input.columns == (age, sex)
    turned = STATISTICS.replace('["age", "sex"]', '["sex", "age"]').replace("labels = ", "#")
    assert load(tmp_path, turned).input.columns == (CategoryColumn((0.0, 1.0), (2.0, 3.0)), age)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('features = ["age", "sex"]', "", "input.statistics needs input.features"),
        (
            '["age", "sex"]',
            '["age", "sex", "job"]',
            "input.statistics says nothing of 'job'; it takes every",
        ),
        ('["age", "sex"]', '["age"]', "input.statistics.sex is not a known key"),
        ("mean = 40", "", "input.statistics.age.mean is missing"),
        ("std = 12.5", "std = -1", "input.statistics.age.std must be at least 0, but is -1"),
        ("edges = [28.0, 48.0]", "edges = [48, 28]", "age.edges must rise, but 28 follows 48"),
        ("edges = [28.0, 48.0]", "edges = []", "age.edges must be a list of 1 numbers, not []"),
        ("low = 17.0", "low = 30", "input.statistics.age.edges must lie between low and high"),
        ("counts = [3, 2, 0]", "counts = [3, 2]", "age.counts has 2 entries, expected 3"),
        ("counts = [3, 2, 0]", "counts = [3, -2, 0]", "age.counts[1] must be at least 0, but is"),
        ("counts = [3, 2, 0]", "counts = [0, 0, 0]", "age.counts are all 0; some value must"),
        ("stds = [1.0, 0.0, 0.0]", "stds = [1.0, -1.0, 0.0]", "age.stds[1] must be at least 0"),
        ("values = [0, 1]", "values = [1, 1]", "sex.values must rise, but 1 follows 1"),
        ("counts = [2, 3]", "", "input.statistics.sex.counts is missing"),
        ('labels = ["Female", "Male"]', 'labels = ["x"]', "sex.labels has 1 entries, expected 2"),
        ("std = 12.5", "stdd = 1", "stdd is not a known key; did you mean 'std'?"),
        ('kind = "tabular"', 'kind = "series"', "statistics is not a known key"),
    ],
)
def test_statistics_that_are_none_are_refused(tmp_path, old, new, message):
    assert old in STATISTICS
    with pytest.raises(InvalidModel, match=re.escape(message)):
        load(tmp_path, STATISTICS.replace(old, new))


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


def test_batching_is_read(tmp_path):
    found = load(tmp_path, "[batching]\nmax_batch_size = 16\nmax_queue_delay_ms = 2.5\n")
    assert found.batching == BatchingSection(16, 2.5)
    assert load(tmp_path, "").batching == BatchingSection(None, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("max_batch_size = 0", "whole number from 1"),
        ("max_batch_size = 1.5", "whole number"),
        ("max_queue_delay_ms = -1", "from 0 to 10000 ms, not -1"),
        ("max_queue_delay_ms = 60000", "from 0 to 10000 ms"),
        ("max_queue_delay = 1", "did you mean 'max_queue_delay_ms'"),
    ],
)
def test_batching_that_cannot_be_is_refused(tmp_path, line, says):
    with pytest.raises(InvalidModel, match=says):
        load(tmp_path, f"[batching]\n{line}\n")
