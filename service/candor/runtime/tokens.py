r"""Cut texts into tokens and look them up, remembering where in the text each one stands.

Invariant: no text makes it slow. The manifest's pattern is restricted to a form of regular
expression where an attempt at one position costs at most the length of a token: alternatives of

    single characters (letters, escapes, classes) and groups of them: `\.\.\.`, `'(?:s|re)`,
    of which the last character may repeat:                           `\w+`, `[a-z]+?`,
    then a fixed look ahead, which may fail:                          `\b`, `(?=n't\b)`,
    then groups that may be absent, so that nothing after them fails: `(?:'[a-z]+)?`.

With one repeat in front of what can fail there is one way to give back, not exponentially many. The
length of a token is bounded by looking through a window, the text by the tokens that it may have.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from candor.errors import InvalidInput, InvalidModel, TooLarge
from candor.result import Array, TextView
from candor.runtime.inputs import TokensInput

__all__ = ["MAX_TOKEN_CHARS", "Tokenizer", "load_tokenizer", "tokenize"]

MAX_TOKEN_CHARS = 128
"""A longer token is cut in pieces of this length."""

_CHARS_PER_TOKEN = 64
"""What a text may have for each token that it may have; English has about 5."""

_LOOK_AHEAD = 16
_MAX_VOCABULARY_BYTES = 64 * 2**20

_CHAR = r"(?:\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^bB\d]|[^\\\[\](){}?*+|^$])"
_CHOICE = rf"\(\?:{_CHAR}+(?:\|{_CHAR}+)*\)"
_AHEAD = rf"(?:\\b|\(\?[=!]{_CHAR}{{1,{_LOOK_AHEAD}}}(?:\\b)?\))"
_ABSENT = rf"\(\?:{_CHAR}+[+*]?\)\?"
_ALTERNATIVE = (
    rf"(?:\\b)?(?:{_CHAR}\?)?(?:{_CHOICE}(?![?*+])|{_CHAR})*(?:{_CHAR}[+*]\??)?"
    rf"{_AHEAD}?(?:{_ABSENT})*"
)
_LINEAR = re.compile(rf"{_ALTERNATIVE}(?:\|{_ALTERNATIVE})*")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A token pattern and a vocabulary.

    Attributes:
        pattern: finds tokens in the caller's own text.
        ids: of the tokens in the vocabulary.
        lowercase: whether tokens are looked up in lower case.
        pad, unknown: ids; None where the vocabulary has no such token.
        max_tokens: of one text.
    """

    pattern: re.Pattern[str]
    ids: Mapping[str, int]
    lowercase: bool
    pad: int | None
    unknown: int | None
    max_tokens: int


def load_tokenizer(section: TokensInput) -> Tokenizer:
    """Read the vocabulary and compile the pattern.

    Raises:
        InvalidModel: the pattern is not one, or of a form that could be slow; the vocabulary cannot
            be read, has an empty line or the same token twice; pad or unknown are not in it.
    """
    ids = _vocabulary(section)
    return Tokenizer(
        pattern=_compile(section.pattern, ignore_case=section.lowercase),
        ids=ids,
        lowercase=section.lowercase,
        pad=_special(section, "pad", section.pad, ids),
        unknown=_special(section, "unknown", section.unknown, ids),
        max_tokens=section.max_tokens,
    )


def tokenize(
    tokenizer: Tokenizer, texts: tuple[str, ...], length: int | None = None
) -> tuple[Array, tuple[TextView, ...]]:
    """Turn texts into ids, int64 [n, t], padded at the end, and their views.

    Args:
        tokenizer: as `load_tokenizer` made it.
        texts: one a row.
        length: t, where the model fixes it; None: that of the longest text.

    Raises:
        InvalidInput: a text without tokens, or with one that the model has no id for; rows of
            several lengths for a model without padding.
        TooLarge: a text of more characters or tokens than the model takes.
    """
    limit = tokenizer.max_tokens if length is None else min(length, tokenizer.max_tokens)
    views = tuple(_view(tokenizer, text, row, limit) for row, text in enumerate(texts))
    width = length or max(len(view.tokens) for view in views)
    if tokenizer.pad is None and any(len(view.tokens) != width for view in views):
        counts = sorted({len(view.tokens) for view in views})
        raise InvalidInput(
            f"the model has no padding, so every text of a request needs {length or 'as many'} "
            f"tokens{'' if length else ' as the others'}; these have {', '.join(map(str, counts))}"
        )
    ids = np.full((len(texts), width), tokenizer.pad or 0, np.int64)
    for row, view in enumerate(views):
        ids[row, : len(view.tokens)] = [_id(tokenizer, token, row) for token in view.tokens]
    return ids, views


def _view(tokenizer: Tokenizer, text: str, row: int, limit: int) -> TextView:
    max_chars = limit * _CHARS_PER_TOKEN
    if len(text) > max_chars:
        raise TooLarge(
            f"row {row}: the text has {len(text)} characters, the limit is {max_chars} "
            f"({_CHARS_PER_TOKEN} for each of {limit} tokens)"
        )
    offsets = tuple(_spans(tokenizer.pattern, text))
    if not offsets:
        raise InvalidInput(f"row {row}: the text of {len(text)} characters holds no token")
    if len(offsets) > limit:
        raise TooLarge(f"row {row}: the text has {len(offsets)} tokens, the model takes {limit}")
    tokens = tuple(text[start:end] for start, end in offsets)
    if tokenizer.lowercase:
        tokens = tuple(token.lower() for token in tokens)
    return TextView(tokens, offsets, tuple(token in tokenizer.ids for token in tokens))


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Find tokens from left to right, each attempt within sight of the next few hundred characters.

    The same as `finditer`, but for tokens longer than MAX_TOKEN_CHARS, which are cut.
    """
    start, sight = 0, MAX_TOKEN_CHARS + _LOOK_AHEAD
    while start < len(text):
        end = min(start + 2 * sight, len(text))
        # what begins after this might need characters beyond the end
        safe = end if end == len(text) else end - sight
        found = pattern.search(text, start, end)
        if found is None or found.start() >= safe:
            start = safe
        else:
            stop = min(found.end(), found.start() + MAX_TOKEN_CHARS)
            if stop > found.start():
                yield found.start(), stop
            start = max(stop, found.start() + 1)


def _id(tokenizer: Tokenizer, token: str, row: int) -> int:
    found = tokenizer.ids.get(token, tokenizer.unknown)
    if found is None:
        raise InvalidInput(
            f"row {row}: '{token}' is not in the vocabulary of {len(tokenizer.ids)} tokens, "
            "and the model has no token for unknown ones"
        )
    return found


def _compile(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    try:
        # Tokens are cut from the text as it came, so that offsets are the caller's: lower-casing
        # first could change its length.
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else re.NOFLAG)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidModel(
            f"input.pattern '{pattern}' is no regular expression: {error}"
        ) from error
    if compiled.match(""):
        raise InvalidModel(f"input.pattern '{pattern}' matches the empty text: no token is empty")
    if not _LINEAR.fullmatch(pattern):
        raise InvalidModel(
            f"input.pattern '{pattern}' could be slow on some text; each alternative may have "
            r"characters, then one repeated character ('\w+'), then a fixed look ahead, then "
            r"groups that may be absent (as in '[a-z]+(?:\'[a-z]+)?|\d+|[^\w\s]')"
        )
    return compiled


def _vocabulary(section: TokensInput) -> dict[str, int]:
    path = section.vocabulary
    try:
        if path.stat().st_size > _MAX_VOCABULARY_BYTES:
            raise InvalidModel(f"{path} has more than {_MAX_VOCABULARY_BYTES} bytes")
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise InvalidModel(f"the vocabulary {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidModel(f"the vocabulary {path} is not UTF-8: {error}") from error
    ids: dict[str, int] = {}
    for number, line in enumerate(lines):
        token = line.removesuffix("\r")
        if not token:
            raise InvalidModel(f"{path}: line {number + 1} is empty; each line is one token")
        if token in ids:
            raise InvalidModel(
                f"{path}: line {number + 1} repeats '{token}' of line {ids[token] + 1}"
            )
        ids[token] = number
    return ids


def _special(
    section: TokensInput, key: str, token: str | None, ids: Mapping[str, int]
) -> int | None:
    if token is not None and token not in ids:
        raise InvalidModel(f"input.{key} '{token}' is not in the vocabulary {section.vocabulary}")
    return None if token is None else ids[token]
