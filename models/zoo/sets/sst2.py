"""SST-2: movie-review sentences, negative or positive, with the standard split.

Source: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank"; the split and text of Kim 2014, arXiv:1408.5882.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data import required
from zoo.sets.samples import DataSet, Samples
from zoo.sets.tokens import build_vocabulary, encode, tokenize

LEAST_COUNT = 2
"""How often a token has to occur in the training sentences to be in the vocabulary."""
# The files keep the treebank's escapes; people type the signs themselves.
ESCAPES = (
    ("-lrb-", "("),
    ("-rrb-", ")"),
    ("``", '"'),
    ("''", '"'),
    ("`", "'"),
    ("\\/", "/"),
    ("\\*", "*"),
)


@dataclass(frozen=True, slots=True)
class Sentences:
    """Tokenised sentences and, for each, its class."""

    tokens: list[list[str]]
    classes: list[int]


def unescape(line: str) -> str:
    """Return the line with brackets, quotes and slashes as they are typed."""
    for escaped, plain in ESCAPES:
        line = line.replace(escaped, plain)
    return line


def read_split(root: Path, grain: str, name: str) -> Sentences:
    """Read `text/stsa.<grain>.<name>`: grain "binary" (0, 1) or "fine" (0 to 4)."""
    path = required(root, f"text/stsa.{grain}.{name}")
    rows = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return Sentences([tokenize(unescape(text)) for _, text in rows], [int(k) for k, _ in rows])


def read_train(root: Path, grain: str) -> Sentences:
    """Read the training split without the few sentences that recur in development or test."""
    held = {
        tuple(tokens)
        for name in ("dev", "test")
        for tokens in read_split(root, "fine", name).tokens
    }
    train = read_split(root, grain, "train")
    rows = zip(train.tokens, train.classes, strict=True)
    kept = [(tokens, k) for tokens, k in rows if tuple(tokens) not in held]
    return Sentences([tokens for tokens, _ in kept], [k for _, k in kept])


def read_vocabulary(root: Path) -> list[str]:
    """Return the tokens of the training sentences, each at the place of its id."""
    return build_vocabulary(read_train(root, "fine").tokens, LEAST_COUNT)


def load(root: Path, split: str) -> Samples:
    """Read ids int64 [n, t], padded with 0 to the longest, and grades or classes.

    Args:
        root: of the data.
        split: "train" for grades 0 to 4; "dev" or "test" for the classes 0 and 1.
    """
    index = {token: i for i, token in enumerate(read_vocabulary(root))}
    found = read_train(root, "fine") if split == "train" else read_split(root, "binary", split)
    ids = np.zeros((len(found.tokens), max(map(len, found.tokens))), np.int64)
    for row, tokens in zip(ids, found.tokens, strict=True):
        row[: len(tokens)] = encode(tokens, index)
    return Samples(ids, np.array(found.classes, np.int64))


SST2 = DataSet(
    title="SST-2",
    labels=("negative", "positive"),
    load=load,
    facts=(
        "SST-2 (Stanford Sentiment Treebank, two classes, whole sentences only): 6,920 training, "
        "872 development and 1,821 test sentences, text as in Kim 2014 (arXiv:1408.5882).",
        "Trained on 8,540 sentences: the same training split with its five grades (8,544, neutral "
        "ones included), less the few that recur word for word in the development or test split.",
        f"Vocabulary: the 8,243 tokens that occur at least {LEAST_COUNT} times in those training "
        "sentences. No other text and no ready-made vectors were used.",
    ),
    citation="Socher, Perelygin, Wu, Chuang, Manning, Ng, Potts 2013: Recursive Deep Models for "
    "Semantic Compositionality Over a Sentiment Treebank, EMNLP.",
    licence="Stanford Sentiment Treebank: released for research without a formal licence; its "
    "sentences come from Rotten Tomatoes reviews (Pang & Lee 2005)",
    develop="dev",
)
