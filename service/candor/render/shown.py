"""Texts as they can be shown anywhere: letters, and nothing that is an order to who draws them."""

import unicodedata

__all__ = ["shown"]

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the order of what follows, of the page's own words too."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def shown(text: str) -> str:
    """The text, as long as it was, with U+FFFD for control characters and those that turn it."""
    return "".join(
        _UNKNOWN if letter in _TURNING or _is_control(letter) else letter for letter in text
    )


def _is_control(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) == "Cc"
