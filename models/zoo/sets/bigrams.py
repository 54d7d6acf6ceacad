"""What counting words and pairs of words reaches on SST-2: the bar for a network."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from zoo.model import Scores
from zoo.sets.sst2 import read_split, read_train


def bigram_baseline(root: Path) -> Scores:
    """Return for a card the accuracy of logistic regression on words and pairs of words.

    Its one setting, C, is chosen on the development split like the network's epoch.
    """
    train_split = read_train(root, "binary")
    dev, test = (read_split(root, "binary", name) for name in ("dev", "test"))
    counts = CountVectorizer(analyzer=_words_and_pairs, binary=True)
    x = counts.fit_transform(train_split.tokens)
    x_dev, x_test = counts.transform(dev.tokens), counts.transform(test.tokens)
    fits = [
        LogisticRegression(C=c, max_iter=2000).fit(x, train_split.classes)
        for c in (0.1, 0.3, 1.0, 3.0)
    ]
    best = max(fits, key=lambda fit: fit.score(x_dev, dev.classes))
    found = best.score(x_test, test.classes), best.score(x_dev, dev.classes)
    return {
        f"bigram logistic regression, {split} split": float(score)
        for split, score in zip(("test", "development"), found, strict=True)
    }


def _words_and_pairs(tokens: list[str]) -> list[str]:
    return tokens + [f"{a} {b}" for a, b in pairwise(tokens)]
