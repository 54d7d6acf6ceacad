"""Work that is done in steps, as a generator, for whoever has no use for the steps."""

from collections.abc import Generator
from typing import Any, TypeVar

__all__ = ["ended"]

T = TypeVar("T")


def ended(steps: Generator[Any, None, T]) -> T:
    """What the steps lead to, all of them done at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: T = end.value
            return answer
