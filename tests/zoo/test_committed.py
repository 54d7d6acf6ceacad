"""The models in the repository: they load, fit their manifests, and treat padding as nothing."""

import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from candor.client import Client
from candor.explain.options import METHODS
from packaged import rows_for
from zoo.figures import read_figures, rows_of
from zoo.sets.tokens import PATTERN, encode, tokenize
from zoo.table import TABLE

REPOSITORY = Path(__file__).resolve().parents[2] / "models" / "repository"
NAMES = sorted(path.parent.name for path in REPOSITORY.glob("*/model.toml"))
SENTENCES = [name for name in NAMES if name.startswith("sentences")]
CLASSIFIERS = [name for name in NAMES if name != "digits-autoencoder"]

NO_MAPS = {method for method in METHODS if "_cam" not in method} - {"cam"}
METHODS_OF = {
    "photos": set(METHODS),
    "cifar10-nin": set(METHODS),
    "ecg200-fcn": set(METHODS),
    "gunpoint-fcn": set(METHODS),
    "cifar10-basecnn": set(METHODS) - {"cam"},
    "digits-lenet": set(METHODS) - {"cam"},
    "fashion-lenet": set(METHODS) - {"cam"},
    "spoken-digits-tdnn": set(METHODS),
    "sentences": set(METHODS) - {"cam"},
    "sentences-gru": set(METHODS) - {"cam"},
    "sentences-rnn": set(METHODS) - {"cam"},
    **{f"vowels-{cell}": set(METHODS) for cell in ("rnn", "lstm", "gru", "esn")},
    "digits-autoencoder": set(),
}


def manifest(name):
    return tomllib.loads((REPOSITORY / name / "model.toml").read_text(encoding="utf-8"))


def session(name):
    path = REPOSITORY / name / "1" / "model.onnx"
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def graph(name):
    return onnx.load(REPOSITORY / name / "1" / "model.onnx").graph


def test_what_is_committed_is_of_the_zoo_and_not_too_much():
    assert set(NAMES) <= set(TABLE)
    sizes = {path: path.stat().st_size for path in REPOSITORY.rglob("*.onnx")}
    assert sum(sizes.values()) <= 45_000_000
    assert max(sizes.values()) <= 8_000_000


@pytest.mark.parametrize("name", NAMES)
def test_file_is_valid_and_tells_no_paths(name):
    path = REPOSITORY / name / "1" / "model.onnx"
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert not re.search(rb"/(?:home|root|tmp|work|Users)/", path.read_bytes())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_labels_are_unique_and_as_many_as_outputs(name):
    labels = manifest(name)["labels"]
    assert len(set(labels)) == len(labels)
    assert session(name).get_outputs()[0].shape == ["n", len(labels)]


@pytest.mark.parametrize("name", NAMES)
def test_manifest_names_values_of_the_graph(name):
    described = manifest(name)
    if "input" in described:
        assert session(name).get_inputs()[0].name == described["input"]["name"]
    values = {value for node in graph(name).node for value in node.output}
    explain = described.get("explain", {})
    assert {explain[key] for key in ("layer", "embedding") if key in explain} <= values


@pytest.mark.parametrize("name", NAMES)
def test_card_names_data_and_licence_and_says_what_its_figures_say(name):
    folder = REPOSITORY / name
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    for heading in ("Measured", "Data", "Licence", "Recipe", "Limits", "Again"):
        assert f"## {heading}\n" in card
    rows = "".join(f"| {what} | {value} |\n" for what, value in rows_of(read_figures(folder)))
    assert f"| --- | --- |\n{rows}\n" in card
    assert f"MODEL={name}\n" in card


@pytest.fixture(scope="module")
def client(server):
    with Client(server.grpc_target) as made:
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_service_is_ready_for_it_and_names_its_methods(name, client):
    described = client.model(name)
    possible = {method for method, reason in described.methods.items() if reason is None}
    assert possible == METHODS_OF.get(name, NO_MAPS)
    assert list(described.labels) == manifest(name).get("labels", [])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_service_explains_a_row_of_its_kind(name, client):
    model = TABLE[name]
    row = model.prepare(rows_for(model).inputs[:1]).numpy()
    found = client.explain(name, "gradient", tensors={model.source.name: row})
    (answer,) = found.answers
    steps = row.shape[1:2]
    shapes = {"image": row.shape[-2:], "series": steps, "tokens": steps, "tabular": row.shape[1:]}
    assert np.shape(answer.values) == shapes[client.model(name).kind]
    assert np.abs(answer.values).max() > 0


def test_last_photo_activation_is_eight_by_eight():
    model = onnx.load(REPOSITORY / "photos" / "1" / "model.onnx")
    model.graph.output.append(onnx.ValueInfoProto(name="features"))
    run = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits, features = run.run(None, {"image": np.zeros((2, 3, 64, 64), np.float32)})
    assert features.shape[2:] == (8, 8)
    assert features.min() >= 0
    assert np.isfinite(logits).all()


def test_a_picture_and_its_mirror_image_have_mirrored_maps_and_one_answer():
    model = onnx.load(REPOSITORY / "cifar10-nin" / "1" / "model.onnx")
    model.graph.output.append(onnx.ValueInfoProto(name="class_maps"))
    run = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    table = TABLE["cifar10-nin"]
    x = table.prepare(rows_for(table).inputs[60:63]).numpy()
    logits, maps = run.run(None, {"image": x})
    other, mirrored = run.run(None, {"image": np.ascontiguousarray(x[..., ::-1])})
    np.testing.assert_allclose(other, logits, rtol=0, atol=2e-5)
    np.testing.assert_allclose(mirrored[..., ::-1], maps, rtol=0, atol=2e-4)
    np.testing.assert_allclose(maps.mean((2, 3)), logits, rtol=0, atol=2e-5)
    assert np.abs(maps - maps[..., ::-1]).max() > 0.1


@pytest.mark.parametrize("name", SENTENCES)
def test_vocabulary_is_one_token_a_line_from_padding_on(name):
    lines = (REPOSITORY / name / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    assert lines[:2] == ["<pad>", "<unk>"]
    assert lines.pop() == ""
    assert len(set(lines)) == len(lines)
    table = next(w for w in graph(name).initializer if w.name == "embedding.weight")
    assert table.dims[0] == len(lines)


@pytest.mark.parametrize("name", SENTENCES)
def test_padding_changes_no_answer_and_all_padding_is_finite(name):
    run = session(name)
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
