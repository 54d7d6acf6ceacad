"""The models in the repository: they load, fit their manifests, and treat padding as nothing."""

import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from zoo.tokens import PATTERN, encode, tokenize

REPOSITORY = Path(__file__).resolve().parents[2] / "models" / "repository"
NAMES = ("photos", "sentences")


def manifest(name):
    return tomllib.loads((REPOSITORY / name / "model.toml").read_text(encoding="utf-8"))


def session(name):
    path = REPOSITORY / name / "1" / "model.onnx"
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def graph(name):
    return onnx.load(REPOSITORY / name / "1" / "model.onnx").graph


@pytest.mark.parametrize("name", NAMES)
def test_file_is_small_valid_and_tells_no_paths(name):
    path = REPOSITORY / name / "1" / "model.onnx"
    content = path.read_bytes()
    assert len(content) <= 8_000_000
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert not re.search(rb"/(?:home|root|tmp|work|Users)/", content)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_unique_and_as_many_as_outputs(name):
    labels = manifest(name)["labels"]
    assert len(set(labels)) == len(labels)
    assert session(name).get_outputs()[0].shape == ["n", len(labels)]


@pytest.mark.parametrize("name", NAMES)
def test_manifest_names_values_of_the_graph(name):
    described = manifest(name)
    assert session(name).get_inputs()[0].name == described["input"]["name"]
    values = {value for node in graph(name).node for value in node.output}
    explain = described["explain"]
    assert {explain[key] for key in ("layer", "embedding") if key in explain} <= values


@pytest.mark.parametrize("name", NAMES)
def test_card_names_data_licence_and_accuracy(name):
    card = (REPOSITORY / name / "CARD.md").read_text(encoding="utf-8")
    for heading in ("Measured", "Data", "Licence", "Recipe", "Limits"):
        assert f"## {heading}\n" in card
    assert re.search(r"\| \d\d\.\d\d % \|", card)


def test_last_photo_activation_is_eight_by_eight():
    model = onnx.load(REPOSITORY / "photos" / "1" / "model.onnx")
    model.graph.output.append(onnx.ValueInfoProto(name="features"))
    run = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits, features = run.run(None, {"image": np.zeros((2, 3, 64, 64), np.float32)})
    assert features.shape[2:] == (8, 8)
    assert features.min() >= 0
    assert np.isfinite(logits).all()


def test_vocabulary_is_one_token_a_line_from_padding_on():
    lines = (REPOSITORY / "sentences" / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    assert lines[:2] == ["<pad>", "<unk>"]
    assert lines.pop() == ""
    assert len(set(lines)) == len(lines)
    table = next(w for w in graph("sentences").initializer if w.name == "embedding.weight")
    assert table.dims[0] == len(lines)


def test_padding_changes_no_answer_and_all_padding_is_finite():
    run = session("sentences")
    rng = np.random.default_rng(0)
    for length in (1, 9, 60):
        ids = rng.integers(1, 8000, (3, length))
        plain = run.run(None, {"tokens": ids})[0]
        wide = run.run(None, {"tokens": np.pad(ids, ((0, 0), (0, 37)))})[0]
        np.testing.assert_allclose(plain, wide, rtol=0, atol=2e-6)
    assert np.isfinite(run.run(None, {"tokens": np.zeros((2, 5), np.int64)})[0]).all()


def test_typed_english_is_cut_as_the_training_data():
    assert manifest("sentences")["input"]["pattern"] == PATTERN
    assert tokenize("I didn't like it.") == ["i", "did", "n't", "like", "it", "."]
    assert tokenize("i did n't like it .") == tokenize("I didn't like it.")
    assert tokenize("It's well-made, can't wait...") == [
        "it", "'s", "well", "-", "made", ",", "ca", "n't", "wait", "...",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("A wonderful, moving and beautifully acted film.", "positive"),
        ("Dull, predictable and far too long.", "negative"),
        ("One of the best films of the year.", "positive"),
        ("I didn't like it: a complete waste of time.", "negative"),
    ],
)
def test_plain_sentences_are_told_apart(sentence, label):
    lines = (REPOSITORY / "sentences" / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    ids = encode(tokenize(sentence), {token: i for i, token in enumerate(lines[:-1])})
    logits = session("sentences").run(None, {"tokens": np.array([ids])})[0]
    assert manifest("sentences")["labels"][int(logits.argmax())] == label
