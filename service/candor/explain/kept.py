"""What explanations make once and use again: the latest of it, within so many bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from candor.result import Array

__all__ = ["Kept"]

T = TypeVar("T", bound=tuple[Array, ...])


class Kept(Generic[T]):
    """Tuples of arrays by what they were made of; shared, so that they become read-only.

    Safe to use from several threads: two may make the same at the same time, and one of it is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._found: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Remember, or make."""
        found = self.find(key)
        return found if found is not None else self.keep(key, make())

    def find(self, key: Hashable) -> T | None:
        """What is remembered."""
        with self._lock:
            if key not in self._found:
                return None
            self._found.move_to_end(key)
            return self._found[key]

    def keep(self, key: Hashable, made: T) -> T:
        """Remember what was made; what alone is larger than the whole is not kept."""
        for array in made:
            array.flags.writeable = False
        if _size(made) > self._most:
            return made
        with self._lock:
            if key not in self._found:
                self._found[key] = made
                self._bytes += _size(made)
            while self._bytes > self._most:
                self._bytes -= _size(self._found.popitem(last=False)[1])
        return made


def _size(arrays: tuple[Array, ...]) -> int:
    return sum(array.nbytes for array in arrays)
