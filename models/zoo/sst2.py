"""SST-2: movie-review sentences, negative or positive, with the standard split.

Source: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank"; the split and text of Kim 2014, arXiv:1408.5882.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.data import required
from zoo.tokens import tokenize

LABELS = ("negative", "positive")
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

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.classes)


def unescape(line: str) -> str:
    """Return the line with brackets, quotes and slashes as they are typed."""
    for escaped, plain in ESCAPES:
        line = line.replace(escaped, plain)
    return line


def load_split(root: Path, grain: str, name: str) -> Sentences:
    """Read `text/stsa.<grain>.<name>`: grain "binary" (0, 1) or "fine" (0 to 4)."""
    path = required(root, f"text/stsa.{grain}.{name}")
    rows = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return Sentences([tokenize(unescape(text)) for _, text in rows], [int(k) for k, _ in rows])


def load_train(root: Path, grain: str) -> Sentences:
    """Read the training split without the few sentences that recur in development or test."""
    held = {
        tuple(tokens)
        for name in ("dev", "test")
        for tokens in load_split(root, "fine", name).tokens
    }
    train = load_split(root, grain, "train")
    rows = zip(train.tokens, train.classes, strict=True)
    kept = [(tokens, k) for tokens, k in rows if tuple(tokens) not in held]
    return Sentences([tokens for tokens, _ in kept], [k for _, k in kept])
