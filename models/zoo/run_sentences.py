"""`train sentences`: fit, choose the epoch on the development split, export, test, describe."""

from __future__ import annotations

import copy
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto
from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from zoo import sst2
from zoo.card import HARDWARE, Card, percent, write_card
from zoo.export import Port, name_value, only, save, to_onnx
from zoo.manifest import Table, write_manifest
from zoo.progress import say
from zoo.sentences import SentenceNet
from zoo.tokens import PAD, PATTERN, UNKNOWN, build_vocabulary, encode
from zoo.train_sentences import Ids, Recipe, accuracy, padded, predict, train

LICENCE = "research use: the weights follow the terms of the Stanford Sentiment Treebank"
SOURCE = "SST-2, Socher et al. 2013, EMNLP; split of Kim 2014, arXiv:1408.5882"
TOKENS = Port("tokens", {0: "n", 1: "t"})
LOGITS = Port("logits", {0: "n"})


def export_sentences(net: SentenceNet) -> ModelProto:
    """Return the ONNX model; its embedding's output is named "embedding"."""
    example = torch.tensor([[5, 3, 2, 4], [7, 2, 0, 0], [3, 0, 0, 0]])
    model = to_onnx(net, example, TOKENS, LOGITS)
    name_value(model, only(model, "Gather").output[0], "embedding")
    return model


def run(root: Path, target: Path, recipe: Recipe) -> None:
    """Do the whole of it and write model, vocabulary, manifest and card under `target`."""
    grades = sst2.load_train(root, "fine")
    dev, test = (sst2.load_split(root, "binary", name) for name in ("dev", "test"))
    vocabulary = build_vocabulary(grades.tokens, recipe.least_count)
    index = {token: i for i, token in enumerate(vocabulary)}
    ids, dev_ids, test_ids = (
        [encode(tokens, index) for tokens in split.tokens] for split in (grades, dev, test)
    )
    began, best, chosen, net = time.monotonic(), -1.0, 0, None
    for epoch, (loss, average) in enumerate(
        train(ids, grades.classes, len(vocabulary), recipe), start=1
    ):
        score = accuracy(predict(average, dev_ids), dev.classes)
        say(f"epoch {epoch:2}/{recipe.epochs}  loss {loss:.4f}  dev {score:.2%}")
        if score > best:
            best, chosen, net = score, epoch, copy.deepcopy(average)
    if net is None:
        raise ValueError("a run needs at least one epoch")
    seconds = time.monotonic() - began
    model = export_sentences(net)
    save(model, target / "1" / "model.onnx")
    (target / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    _write_manifest(target)
    logits, difference = compare(net, model, test_ids)
    bigrams_dev, bigrams = bigram_baseline(root)
    say(f"test {accuracy(logits, test.classes):.2%}, bigrams {bigrams:.2%}")
    rows = [
        ("accuracy, test split (1,821 sentences)", percent(accuracy(logits, test.classes))),
        ("bigram logistic regression, test split", percent(bigrams)),
        ("accuracy, development split (872), the epoch's choice", percent(best)),
        ("bigram logistic regression, development split", percent(bigrams_dev)),
        ("largest difference ONNX to torch, test split", f"{difference:.1e}"),
        ("parameters", f"{sum(p.numel() for p in net.parameters()):,}"),
        ("file", f"{model.ByteSize():,} bytes, opset {model.opset_import[0].version}"),
        ("training", f"{seconds:.0f} s, epoch {chosen} of {recipe.epochs}, seed {recipe.seed}"),
        ("hardware", HARDWARE),
    ]
    write_card(target / "CARD.md", _card(rows, len(grades), len(vocabulary), recipe))


def compare(net: SentenceNet, model: ModelProto, ids: Ids) -> tuple[torch.Tensor, float]:
    """Return the ONNX model's logits and their largest difference from torch's.

    Raises:
        ValueError: the two classify a sentence differently.
    """
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    # One sentence a run, unpadded, against torch's padded batches: padding is checked too.
    rows = [session.run(None, {"tokens": padded([sentence]).numpy()})[0] for sentence in ids]
    ours, theirs = torch.from_numpy(np.concatenate(rows)), predict(net, ids)
    if not torch.equal(ours.argmax(1), theirs.argmax(1)):
        raise ValueError("the exported model classifies a test sentence differently")
    return ours, float((ours - theirs).abs().max())


def bigram_baseline(root: Path) -> tuple[float, float]:
    """Return (development, test) accuracy of logistic regression on words and word pairs.

    Its one setting, C, is chosen on the development split like the network's epoch.
    """
    train_split = sst2.load_train(root, "binary")
    dev, test = (sst2.load_split(root, "binary", name) for name in ("dev", "test"))
    counts = CountVectorizer(analyzer=_words_and_pairs, binary=True)
    x = counts.fit_transform(train_split.tokens)
    x_dev, x_test = counts.transform(dev.tokens), counts.transform(test.tokens)
    fits = [
        LogisticRegression(C=c, max_iter=2000).fit(x, train_split.classes)
        for c in (0.1, 0.3, 1.0, 3.0)
    ]
    best = max(fits, key=lambda fit: fit.score(x_dev, dev.classes))
    return float(best.score(x_dev, dev.classes)), float(best.score(x_test, test.classes))


def _words_and_pairs(tokens: list[str]) -> list[str]:
    return tokens + [f"{a} {b}" for a, b in pairwise(tokens)]


def _write_manifest(target: Path) -> None:
    top: Table = {
        "title": "Sentences, negative or positive",
        "licence": LICENCE,
        "source": SOURCE,
        "labels": sst2.LABELS,
        "activation": "softmax",
    }
    tokens: Table = {
        "kind": "tokens",
        "name": TOKENS.name,
        "vocabulary": "vocabulary.txt",
        "pattern": PATTERN,
        "lowercase": True,
        "pad": PAD,
        "unknown": UNKNOWN,
        "max_tokens": 512,
    }
    explain: Table = {"embedding": "embedding"}
    write_manifest(target / "model.toml", top, {"input": tokens, "explain": explain})


def _card(rows: list[tuple[str, str]], n_train: int, n_tokens: int, recipe: Recipe) -> Card:
    return Card(
        title="Sentences, negative or positive",
        purpose="Tells whether a sentence about a film is negative or positive. It is there to "
        "show explanations of a recurrent network on text, not to judge anybody's writing.",
        data=[
            "SST-2 (Stanford Sentiment Treebank, two classes, whole sentences only): 6,920 "
            "training, 872 development and 1,821 test sentences, text as in Kim 2014 "
            "(arXiv:1408.5882).",
            f"Trained on {n_train:,} sentences: the same training split with its five grades "
            "(8,544, neutral ones included), used as soft targets, less the few sentences that "
            "recur word for word in the development or test split.",
            f"Vocabulary: the {n_tokens:,} tokens that occur at least {recipe.least_count} times "
            "in those training sentences. No other text and no ready-made vectors were used.",
            "Socher, Perelygin, Wu, Chuang, Manning, Ng, Potts 2013: Recursive Deep Models for "
            "Semantic Compositionality Over a Sentiment Treebank, EMNLP.",
        ],
        licence="The treebank was released for research without a formal licence; the sentences "
        "come from Rotten Tomatoes reviews (Pang & Lee 2005). The weights are offered for "
        "research and demonstration on the same understanding. The data is not in this repository.",
        recipe=[
            f"Embedding {recipe.width}, one forward LSTM of {recipe.hidden}, masked mean and "
            "maximum over the steps, one linear layer. Logits; softmax gives probabilities.",
            f"AdamW, one cycle to {recipe.lr:g}, weight decay {recipe.weight_decay:g}, batch "
            f"{recipe.batch}, gradient norm at most 1, running average {recipe.ema:g}.",
            f"Dropout: words {recipe.dropout.word:g}, embedding {recipe.dropout.embedding:g}, "
            f"pooled states {recipe.dropout.pooled:g}.",
            "The epoch was chosen on the development split; the test split was read once, after.",
        ],
        rows=rows,
        limits=[
            "English, film reviews, 2000s; elsewhere the accuracy is unknown.",
            "One seed. With 1,821 test sentences the standard error is about 0.9 points.",
            "No neutral class: a neutral sentence gets a probability near one half at best.",
        ],
        command="make models MODEL=sentences",
    )
