"""Where requests are read and answers written: on the event loop, or in a thread where long.

A hop to a thread costs about as much as a small message takes altogether, so those stay; what takes
longer than a hop would make every other call wait.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["LARGE_BYTES", "MANY", "offloaded"]

T = TypeVar("T")

LARGE_BYTES: Final = 256 * 1024
"""A message from which it is read and written in a thread."""

MANY: Final = 16
"""Answers or rows of an answer (0.1 ms each) from which it is written in a thread."""


async def offloaded(function: Callable[[], T], *, large: bool) -> T:
    """Call a function in a thread if it has much to do, else here."""
    return await asyncio.to_thread(function) if large else function()
