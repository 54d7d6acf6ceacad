"""Files that may change while they are served: read anew when they do, kept where that fails.

Nobody polls: whoever asks for the value looks at the files first, at most once a second. That is as
often as it can matter, and costs nothing while nobody asks.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, Generic, TypeAlias, TypeVar

from candor.errors import InvalidOption

__all__ = ["Watched"]

_LOG = logging.getLogger("candor.files")

T = TypeVar("T")

_EVERY_S: Final = 1.0

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Watched(Generic[T]):
    """A value that is read from files; safe to ask from any thread.

    Invariant: there is a value always, the last that could be read.
    """

    def __init__(self, what: str, paths: tuple[Path, ...], read: Callable[[], T]) -> None:
        """Read it for the first time.

        Args:
            what: how the log calls it.
            paths: the files; a link is followed, so a volume that swaps links is seen too.
            read: makes the value; raises InvalidOption where it cannot.

        Raises:
            InvalidOption: as `read` does.
        """
        self._what = what
        self._paths = paths
        self._read = read
        self._lock = Lock()
        # Before the reading: what changes while it is read is seen the next time.
        self._stamp = self._looked()
        self._value = read()
        self._next_s = time.monotonic() + _EVERY_S

    def current(self) -> T:
        """The value as the files have it, up to a second late."""
        if time.monotonic() >= self._next_s and self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._next_s = time.monotonic() + _EVERY_S
                self._lock.release()
        return self._value

    def _renew(self) -> None:
        stamp = self._looked()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._value = self._read()
        except InvalidOption as error:
            # Two files are seldom written in the same instant: the next change sets it right.
            _LOG.error(
                "not renewed: what was read before is used on",
                extra={"what": self._what, "reason": error.message},
            )
        else:
            _LOG.info("renewed", extra={"what": self._what})

    def _looked(self) -> _Stamp:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
