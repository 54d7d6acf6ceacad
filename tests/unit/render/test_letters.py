"""Letters of any script, and texts that are longer than their place."""

import time

import pytest
from PIL import ImageFont

from candor.render.letters import fitted, lettering, wrapped
from candor.render.shown import shown


def test_a_text_that_is_too_long_ends_in_an_ellipsis() -> None:
    assert fitted("short", 12, 200) == "short"
    cut = fitted("a name that goes on and on and on", 12, 80)
    assert cut.endswith("…")
    assert 4 < len(cut) < 20
    assert lettering(12, cut).getlength(cut) <= 80
    longer = "a name that goes on and on and on"[: len(cut)] + "…"
    assert lettering(12, longer).getlength(longer) > 80


def test_a_word_of_a_book_is_cut_at_once() -> None:
    began = time.process_time()
    assert len(fitted("x" * 200_000, 18, 600)) < 200
    assert time.process_time() - began < 5  # letter by letter it takes minutes


def test_lines_are_broken_at_spaces_and_no_line_is_too_wide() -> None:
    text = "what the score loses where this is covered, mean over windows"
    lines = wrapped(text, 10, 150)
    assert len(lines) > 1
    assert " ".join(lines) == text
    assert all(lettering(10, line).getlength(line) <= 150 for line in lines)
    assert wrapped("", 10, 150) == []
    (cut,) = wrapped("x" * 100, 10, 50)
    assert cut.endswith("…")


@pytest.mark.parametrize("letter", ["\x07", "\x1b", "\u202e", "\u2067"])
def test_orders_to_whoever_draws_are_not_followed(letter: str) -> None:
    assert shown(f"a{letter}b") == "a\ufffdb"
    assert shown("naïve 👩‍👩‍👧 नमस्ते\n\t猫") == "naïve 👩‍👩‍👧 नमस्ते\n\t猫"


def test_letters_beyond_ascii_come_from_a_typeface_that_has_them() -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    face = lettering(16, "Schöner Фильм")
    unknown = bytes(face.getmask("\U0010ffff"))
    assert all(bytes(face.getmask(letter)) != unknown for letter in "öФильм")
    assert lettering(16, "plain").getlength("plain") == lettering(16).getlength("plain")
