"""Which work takes less time than handing it to a thread does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from candor.result import Payload, Tensors

__all__ = ["Brevity"]

_BRIEF_S: Final = 400e-6
"""What a change of thread and back costs on one busy core (docs/performance.md)."""
_SMALL_BYTES: Final = 64 * 1024
_FORGET: Final = 1.02
"""By which the least that was seen grows from run to run."""


class Brevity:
    """What a model's jobs have taken so far; safe to use from several threads.

    Counted is the thread's own time, the least of it lately: on a busy machine the clock would tell
    of others, and even the thread's time of the caches that they share.
    """

    def __init__(self, *, on_cpu: bool) -> None:
        """Know nothing yet; away from CPUs a thread that predicts waits for what it does not do."""
        self._on_cpu = on_cpu
        self._row_s: dict[str, float] = {}

    def expects(self, job: str, payload: Payload, rows: int) -> bool:
        """Whether a job on some rows will be brief: False until one row was seen."""
        row_s = self._row_s.get(job)
        if row_s is None or row_s * rows > _BRIEF_S or not isinstance(payload, Tensors):
            return False
        if job == "predict" and not self._on_cpu:
            return False
        return sum([array.nbytes for array in payload.by_name.values()]) <= _SMALL_BYTES

    @contextmanager
    def timed(self, job: str, rows: int) -> Iterator[None]:
        """Learn from a job, where it is of one row: of more each takes less."""
        if rows != 1:
            yield
            return
        began = time.thread_time()
        yield
        seconds = time.thread_time() - began
        before = self._row_s.get(job, seconds)
        self._row_s[job] = min(seconds, _FORGET * before)
