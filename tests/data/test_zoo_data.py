"""The cards' accuracies, measured again from the committed files alone: ONNX and manifest."""

import re
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from zoo.data import MissingDataError, data_root
from zoo.figures import read_figures
from zoo.recipe import RECONSTRUCT
from zoo.sets import adult, photos64, speech
from zoo.sets.samples import Samples
from zoo.sets.sst2 import SST2, read_split, read_train, read_vocabulary, unescape
from zoo.table import TABLE
from zoo.trainer import others

REPOSITORY = Path(__file__).resolve().parents[2] / "models" / "repository"
COMMITTED = sorted(path.parent.name for path in REPOSITORY.glob("*/model.toml"))
SENTENCES = [name for name in COMMITTED if TABLE[name].data is SST2]


def manifest(name):
    return tomllib.loads((REPOSITORY / name / "model.toml").read_text(encoding="utf-8"))


def session(name):
    path = REPOSITORY / name / "1" / "model.onnx"
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def figures(name):
    return read_figures(REPOSITORY / name)


def as_the_manifest_says(described, rows: Samples, at, *, ragged):
    """Rows prepared by the manifest alone, or cut to their own length."""
    x = rows.inputs[at]
    if described.get("input", {}).get("kind") == "image":
        mean, std = (np.reshape(described["input"][key], (-1, 1, 1)) for key in ("mean", "std"))
        return ((x / 255.0 - mean) / std).astype(np.float32)
    if not ragged:
        return x
    there = np.flatnonzero(np.any(x.reshape(*x.shape[:2], -1), axis=(0, 2)))
    return x[:, : there[-1] + 1]


@pytest.mark.data
@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_model_reaches_what_its_card_says(name):
    model, run, described = TABLE[name], session(name), manifest(name)
    rows = model.data.load(data_root(), model.data.measured)
    prepared = partial(as_the_manifest_says, described, rows, ragged=model.ragged)
    size = 1 if model.ragged else 250
    outputs, inputs = [], []
    for start in range(0, len(rows), size):
        inputs.append(prepared(slice(start, start + size)))
        outputs.append(run.run(None, {model.source.name: inputs[-1]})[0])
    if model.task is not RECONSTRUCT:
        reached = np.mean(np.concatenate(outputs).argmax(1) == rows.classes)
        assert reached == pytest.approx(figures(name).scores[0], abs=3e-4)
        for what, found in others(
            torch.from_numpy(np.concatenate(outputs)), model.work(rows)
        ).items():
            said = figures(name).others[f"{what}, {model.data.measured} split"]
            assert found == pytest.approx(said, abs=3e-4)
        assert list(model.data.labels) == described["labels"]
    else:
        error = np.mean(np.square(np.concatenate(outputs) - np.concatenate(inputs), dtype=float))
        card = figures(name)
        assert error == pytest.approx(card.scores[0], abs=2e-5)
        assert error < card.others["mean square error of 32 principal components, test split"]


ASKED = "asked of it"
SPREAD = "the mean of its three seeds less two of their deviations"
ERROR = "its one seed less two standard errors of its test rows"
FLOOR = {
    "photos": (75.97, ERROR),
    "digits-mlp": (98.3, ASKED),
    "digits-lenet": (99.0, ASKED),
    "fashion-lenet": (90.0, ASKED),
    "sentences": (79.51, SPREAD),
    "sentences-gru": (79.84, SPREAD),
    "sentences-rnn": (79.37, SPREAD),
    "vowels-rnn": (94.87, SPREAD),
    "vowels-lstm": (95.0, ASKED),
    "vowels-gru": (95.0, ASKED),
    "vowels-esn": (95.0, ASKED),
    "ecg200-fcn": (86.51, SPREAD),
    "gunpoint-fcn": (99.33, "all of 150 rows but one: three seeds have no spread"),
    "spoken-digits-tdnn": (96.0, ASKED),
    "adult-mlp": (85.0, ASKED),
    "cifar10-nin": (90.0, ASKED),
    "cifar10-basecnn": (88.68, ASKED),
}
"""For each classifier the percentage that the committed file reaches at least, and why so much."""


@pytest.mark.parametrize("name", [name for name in COMMITTED if name != "digits-autoencoder"])
def test_a_committed_model_reaches_its_floor(name):
    floor, _ = FLOOR[name]
    assert 100 * figures(name).scores[0] >= floor


def test_the_autoencoder_leaves_less_than_the_best_linear_code():
    found = figures("digits-autoencoder")
    linear = found.others["mean square error of 32 principal components, test split"]
    assert found.scores[0] < linear
    assert found.scores[0] <= 0.0047  # the mean of its three seeds and two of their deviations


@pytest.mark.data
@pytest.mark.parametrize("name", SENTENCES)
def test_sentences_reach_what_their_card_says(name):
    run, described = session(name), manifest(name)["input"]
    text = (REPOSITORY / name / described["vocabulary"]).read_text(encoding="utf-8")
    index = {token: i for i, token in enumerate(text.splitlines())}
    path = data_root() / "text" / "stsa.binary.test"
    hits = []
    for line in path.read_text(encoding="utf-8").splitlines():
        target, sentence = line.split(" ", 1)
        tokens = re.findall(described["pattern"], unescape(sentence).lower())
        ids = [index.get(token, index[described["unknown"]]) for token in tokens]
        logits = run.run(None, {described["name"]: np.array([ids], np.int64)})[0]
        hits.append(int(logits.argmax()) == int(target))
    assert np.mean(hits) == pytest.approx(figures(name).scores[0], abs=1.2e-3)


def test_the_lstm_is_better_than_counting_pairs_of_words():
    found = figures("sentences")
    assert found.scores[0] > found.others["bigram logistic regression, test split"]


@pytest.mark.data
def test_classes_of_photographs_are_in_the_order_of_the_data():
    lines = (data_root() / "photos64" / "classes.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    assert list(photos64.CLASSES) == [wnid for wnid, _ in rows]
    # Ours are its names for them, or shorter.
    assert all(photos64.CLASSES[wnid] in names for wnid, names in rows)
    assert list(photos64.CLASSES.values()) == manifest("photos")["labels"]


@pytest.mark.data
def test_splits_share_no_row_by_its_place():
    recordings = speech.read_recordings(data_root())
    test = [r for r in recordings if r.take < 5]
    assert (len(recordings), len(test)) == (2000, 200)
    assert {(r.digit, r.speaker) for r in test} == {
        (digit, speaker) for digit in range(10) for speaker in speech.SPEAKERS
    }
    train, held = (adult.load_adult(data_root(), split) for split in ("train", "test"))
    assert len(train) + len(held) == 32561
    # Every category of the file is in the lists.
    assert min(train.inputs.min(), held.inputs.min()) >= 0


@pytest.mark.data
def test_no_held_out_sentence_is_trained_on():
    root = data_root()
    trained = {tuple(tokens) for tokens in read_train(root, "fine").tokens}
    for name in ("dev", "test"):
        assert trained.isdisjoint(tuple(t) for t in read_split(root, "binary", name).tokens)
    # As the card says.
    assert (len(SST2.load(root, "train")), len(read_vocabulary(root))) == (8540, 8243)


FILES = {
    "photos64": "photos64/val.tar.gz",
    "MNIST": "mnist/mnist_png.tar.gz",
    "Fashion-MNIST": "fashion_mnist/fashion_mnist_png.tar.gz",
    "CIFAR-10": "cifar10/cifar10_jpg.tar.gz",
    "JapaneseVowels": "ts_aeon/JapaneseVowels/JapaneseVowels_TEST.ts",
    "ECG200": "ucr/ECG200/ECG200_TEST.ts",
    "GunPoint": "ts_aeon/GunPoint/GunPoint_TEST.ts",
    "Adult": "tabular/adult.csv",
    "SST-2": "text/stsa.fine.dev",
    "Free Spoken Digit Dataset": "fsdd/fsdd_recordings.tar.gz",
}


def test_missing_file_is_named(tmp_path):
    for data in {model.data for model in TABLE.values()}:
        with pytest.raises(MissingDataError, match=re.escape(FILES[data.title])):
            data.load(tmp_path, data.measured)


def test_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("CANDOR_DATA", raising=False)
    with pytest.raises(MissingDataError, match="CANDOR_DATA is not set"):
        data_root()
