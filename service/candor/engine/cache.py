"""The memory tier: least recently used goes first, counted in bytes, forgotten after a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["MemoryCache"]

V = TypeVar("V")


class _Kept(NamedTuple, Generic[V]):
    value: V
    size: int
    expires_at: float


class MemoryCache(Generic[V]):
    """Values by key within a number of bytes; one lock, held for a dictionary's worth of time."""

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        size_of: Callable[[V], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._size_of = size_of
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept[V]] = OrderedDict()
        self._bytes = 0

    @property
    def max_bytes(self) -> int:
        """What may be held; 0 where the cache is turned off."""
        return self._max_bytes

    @property
    def size_bytes(self) -> int:
        """What is held, as `size_of` counts it; at most `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> V | None:
        """The value, now the most recently used one; None where there is none or it is too old."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if self._clock() >= kept.expires_at:
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return kept.value

    def put(self, key: str, value: V) -> bool:
        """Keep a value; False where it alone is larger than the whole cache."""
        size = self._size_of(value)
        with self._lock:
            if key in self._kept:
                self._forget(key)
            if size > self._max_bytes:
                return False
            while self._bytes + size > self._max_bytes:
                self._forget(next(iter(self._kept)))
            self._kept[key] = _Kept(value, size, self._clock() + self._ttl_s)
            self._bytes += size
            return True

    def forget(self, key: str) -> None:
        """Drop a value, if there is one."""
        with self._lock:
            if key in self._kept:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._bytes -= self._kept.pop(key).size
