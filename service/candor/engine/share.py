"""Whose share of the slots a piece of work counts to."""

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_PRIORITY", "NOBODY", "Share"]

DEFAULT_PRIORITY: Final = 2
"""Of a request that names none; 1 goes before it, higher numbers after it."""


@dataclass(frozen=True, slots=True)
class Share:
    """Of one who asks.

    Attributes:
        caller: who that is, as far as callers cannot choose it: the key that they show, else the
            host that they call from; "" where nobody knows.
        connection: tells apart those who are one caller, among whom its share is divided.
        priority: orders the work of one connection; that of others never waits for it.
    """

    caller: str = ""
    connection: str = ""
    priority: int = DEFAULT_PRIORITY


NOBODY: Final = Share()
"""The house itself."""
