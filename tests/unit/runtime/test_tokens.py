import re
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor.errors import InvalidInput, InvalidModel, TooLarge
from candor.runtime.inputs import TokensInput
from candor.runtime.tokens import MAX_TOKEN_CHARS, load_tokenizer, tokenize

WORDS = ["<pad>", "<unk>", "a", "fine", "film", "did", "n't", "!"]
CLITICS = r"n't\b|\w+?(?=n't\b)|'(?:s|re|ve|ll|d|m)\b|\w+|\.\.\.|--|[^\w\s]"


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(section(folder, pattern=CLITICS, max_tokens=10_000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary")
    (path / "words.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


def section(folder: Path, **options) -> TokensInput:
    given = {"pad": "<pad>", "unknown": "<unk>", "max_tokens": 100} | options
    return TokensInput(vocabulary=folder / "words.txt", **given)


def test_texts_become_ids_padded_to_the_longest_and_remember_their_offsets(folder):
    tokenizer = load_tokenizer(section(folder, pattern=CLITICS))
    ids, views = tokenize(tokenizer, ("A  fine film!", "Didn't"))
    assert ids.dtype == np.int64
    assert ids.tolist() == [[2, 3, 4, 7], [5, 6, 0, 0]]
    assert views[0].tokens == ("a", "fine", "film", "!")
    assert views[0].offsets == ((0, 1), (3, 7), (8, 12), (12, 13))
    assert views[1].tokens == ("did", "n't")
    assert views[1].offsets == ((0, 3), (3, 6))


def test_a_token_outside_the_vocabulary_is_unknown_and_said_to_be(folder):
    ids, views = tokenize(load_tokenizer(section(folder)), ("a dull film",))
    assert ids.tolist() == [[2, 1, 4]]
    assert views[0].known == (True, False, True)
    assert views[0].tokens[1] == "dull"


def test_without_lower_case_a_capital_is_another_token(folder):
    tokenizer = load_tokenizer(section(folder, lowercase=False))
    assert tokenize(tokenizer, ("A a",))[0].tolist() == [[1, 2]]


def test_a_model_of_fixed_length_is_padded_to_it(folder):
    tokenizer = load_tokenizer(section(folder))
    assert tokenize(tokenizer, ("a",), length=3)[0].tolist() == [[2, 0, 0]]
    with pytest.raises(TooLarge, match="row 0: the text has 4 tokens, the model takes 3"):
        tokenize(tokenizer, ("a a a a",), length=3)


def test_a_model_without_an_unknown_token_refuses_what_it_does_not_know(folder):
    tokenizer = load_tokenizer(section(folder, unknown=None))
    with pytest.raises(InvalidInput, match="row 1: 'dull' is not in the vocabulary of 8 tokens"):
        tokenize(tokenizer, ("a fine film", "a dull film"))


def test_a_model_without_padding_refuses_rows_of_several_lengths(folder):
    tokenizer = load_tokenizer(section(folder, pad=None))
    assert tokenize(tokenizer, ("a a", "a film"))[0].shape == (2, 2)
    with pytest.raises(InvalidInput, match=r"no padding.*as many tokens as the others.* have 1, 2"):
        tokenize(tokenizer, ("a", "a film"))


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_a_text_without_tokens_is_refused_by_its_row(folder, text):
    with pytest.raises(InvalidInput, match=f"row 1: the text of {len(text)} characters holds no"):
        tokenize(load_tokenizer(section(folder)), ("a", text))


def test_a_text_of_too_many_tokens_is_refused_with_both_numbers(folder):
    tokenizer = load_tokenizer(section(folder))
    assert tokenize(tokenizer, ("a " * 100,))[0].shape == (1, 100)
    with pytest.raises(TooLarge, match="row 0: the text has 101 tokens, the model takes 100"):
        tokenize(tokenizer, ("a " * 101,))


def test_a_hundred_thousand_tokens_are_refused_at_once(folder):
    tokenizer = load_tokenizer(section(folder, max_tokens=1024))
    text = "film " * 100_000
    began = time.thread_time()
    with pytest.raises(TooLarge, match="the text has 500000 characters, the limit is 65536"):
        tokenize(tokenizer, (text,))
    assert time.thread_time() - began < 0.05


@pytest.mark.parametrize(
    "text",
    [
        "a" * 65_000,
        "n'" * 32_000,
        "a'" * 32_000,
        "_" * 64_000 + "!",
        "didn'" * 13_000,
        "İ" * 65_000,
    ],
)
def test_no_text_within_the_limit_is_slow(folder, text):
    tokenizer = load_tokenizer(section(folder, pattern=CLITICS, max_tokens=1024))
    began = time.thread_time()
    with suppress(TooLarge):
        tokenize(tokenizer, (text,))
    # a pattern that backtracks would take minutes
    assert time.thread_time() - began < 5


@given(st.text(max_size=120))
@settings(max_examples=200, deadline=None)
def test_every_token_is_the_text_at_its_offsets(tokenizer, text):
    try:
        _, (view,) = tokenize(tokenizer, (text,))
    except InvalidInput:
        assert not re.search(r"\S", text)
        return
    assert [text[start:end].lower() for start, end in view.offsets] == list(view.tokens)
    ends = [0, *(end for _, end in view.offsets)]
    for end, (start, _) in zip(ends, view.offsets, strict=False):
        assert end <= start
        # the pattern takes every sign that is not a space, so nothing else lies between
        assert not text[end:start].strip()


@pytest.mark.parametrize("word", ["didn't", "it's...", "--x", "é" * 60 + "n't"])
def test_looking_through_a_window_finds_what_the_whole_text_would_give(tokenizer, word):
    # a gap of spaces puts the word at every place of the window, its end above all
    for gap in range(2 * MAX_TOKEN_CHARS + 50):
        text = f"{word}{' ' * gap}{word}"
        expected = [match.span() for match in re.finditer(CLITICS, text, re.IGNORECASE)]
        _, (view,) = tokenize(tokenizer, (text,))
        assert list(view.offsets) == expected


def test_a_token_longer_than_the_window_is_cut(folder):
    _, (view,) = tokenize(load_tokenizer(section(folder)), ("a " + "x" * 300,))
    sizes = [end - start for start, end in view.offsets]
    assert sizes == [1, MAX_TOKEN_CHARS, MAX_TOKEN_CHARS, 300 - 2 * MAX_TOKEN_CHARS]


@pytest.mark.parametrize(
    "pattern",
    [
        CLITICS,
        r"\w+|[^\w\s]",
        r"[a-z]+(?:'[a-z]+)?|[0-9]+|[^\sa-z0-9]",
        r"\b[\w'-]+\b",
        r"-?\d+|\S",
        r"[]a]+",
        r".",
    ],
)
def test_patterns_that_cannot_backtrack_are_taken(folder, pattern):
    assert load_tokenizer(section(folder, pattern=pattern)).pattern.pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(?:a+)+b",
        r"(?:a|a)*b",
        r"\w+\w+x",
        r"(?:\w+)*x",
        r"a?a?a?aaa",
        r"\w+x",
        r"(\w)\1",
        r"(?=\w+x)\w",
        r"\w+(?=\w+x)",
        r"\w+\b\w",
        r"(?:a+)?b",
        r"(?P<x>a)",
        r"(?i:a)",
        r"a{2,50}b",
    ],
)
def test_patterns_that_could_be_slow_are_refused(folder, pattern):
    with pytest.raises(InvalidModel, match="could be slow on some text"):
        load_tokenizer(section(folder, pattern=pattern))


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a**"])
def test_what_is_no_pattern_is_refused(folder, pattern):
    with pytest.raises(InvalidModel, match="is no regular expression"):
        load_tokenizer(section(folder, pattern=pattern))


@pytest.mark.parametrize("pattern", [r"\w*", "a|", "(?:a)?"])
def test_a_pattern_that_takes_nothing_is_refused(folder, pattern):
    with pytest.raises(InvalidModel, match="matches the empty text"):
        load_tokenizer(section(folder, pattern=pattern))


def test_a_match_without_characters_is_no_token(folder):
    tokenizer = load_tokenizer(section(folder, pattern=r"\b"))
    with pytest.raises(InvalidInput, match="holds no token"):
        tokenize(tokenizer, ("a b",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\nb\na\n", "line 3 repeats 'a' of line 1"),
        (b"\xff\n", "is not UTF-8"),
        (b"", "line 1 is empty"),
    ],
)
def test_a_broken_vocabulary_is_refused_by_its_line(tmp_path, content, message):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(InvalidModel, match=message):
        load_tokenizer(section(tmp_path, pad=None, unknown=None))


def test_a_vocabulary_with_the_line_ends_of_windows_is_read(tmp_path):
    (tmp_path / "words.txt").write_bytes(b"<pad>\r\n<unk>\r\na\r\n")
    assert dict(load_tokenizer(section(tmp_path)).ids) == {"<pad>": 0, "<unk>": 1, "a": 2}


def test_a_missing_vocabulary_is_refused(tmp_path):
    with pytest.raises(InvalidModel, match=r"words\.txt cannot be read: No such file"):
        load_tokenizer(section(tmp_path))


@pytest.mark.parametrize("key", ["pad", "unknown"])
def test_a_special_token_must_be_in_the_vocabulary(folder, key):
    with pytest.raises(InvalidModel, match=f"input.{key} '<mask>' is not in the vocabulary"):
        load_tokenizer(section(folder, **{key: "<mask>"}))
