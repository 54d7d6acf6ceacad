"""Sentences to ids: lower case, one regular expression, one vocabulary line a token.

The service repeats exactly this from the manifest (`lowercase`, `pattern`, `vocabulary`), so the
training data goes through it too, and nothing here may know more than the manifest says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, UNKNOWN = "<pad>", "<unk>"
# In order: n't after its verb (did|n't), the other English clitics, words, runs of dots and
# dashes, and any other single sign. Hyphens split, so well-made shares "well" and "made".
PATTERN = r"n't\b|\w+?(?=n't\b)|'(?:s|re|ve|ll|d|m)\b|\w+|\.\.\.|--|[^\w\s]"


def tokenize(sentence: str) -> list[str]:
    """Return the tokens of a sentence, lower-cased."""
    return re.findall(PATTERN, sentence.lower())


def build_vocabulary(sentences: Iterable[Sequence[str]], least: int) -> list[str]:
    """Return PAD, UNKNOWN and every token seen at least `least` times, most frequent first."""
    counts = Counter(token for tokens in sentences for token in tokens)
    kept = sorted((-n, token) for token, n in counts.items() if n >= least)
    return [PAD, UNKNOWN, *(token for _, token in kept)]


def encode(tokens: Sequence[str], index: dict[str, int]) -> list[int]:
    """Return ids; a token outside the vocabulary becomes 1."""
    return [index.get(token, 1) for token in tokens]
