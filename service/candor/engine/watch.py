"""Those who watch a long explanation: progress for some, budgets for others, one computation.

A budget belongs to whoever asked, not to the computation: when it is over, that one gets what is
known so far, and the computation goes on for the others, or stops if there are none. The
attribution so far is built in the slot, between two slices, when nothing else touches the
explainer's state.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from candor.engine.batch import RowSays, entry_of
from candor.engine.entry import Entry
from candor.engine.work import MORE, More
from candor.explain.question import Progress
from candor.result import Attribution

__all__ = ["Closing", "Partial", "Watch", "Watcher"]

OnProgress: TypeAlias = Callable[[float, Attribution | None], None]

_PARTIAL_EVERY_S: Final = 0.25
_PARTIAL_SHARE: Final = 10
"""A partial map may cost a tenth of the time at most; dear ones come less often."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What was known of an answer when a budget was over."""

    entry: Entry


@dataclass(slots=True)
class Closing:
    """When the house closes.

    Attributes:
        at_s: monotonic instant from which the best so far will do for whoever waits; infinity
            while it is not known.
    """

    at_s: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Watcher:
    """One who waits.

    Attributes:
        budget_at_s: monotonic instant from which the best so far will do; infinity never.
        on_progress: called on the event loop with the share that is done, and perhaps a partial.
        partial: the best so far, once the budget is over and something is known.
        deadline_at_s: monotonic instant from which nothing will do; infinity never.
        patient: whether the house may close meanwhile: the rest would be done elsewhere.
    """

    budget_at_s: float
    on_progress: OnProgress | None
    partial: "asyncio.Future[Partial]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    deadline_at_s: float = math.inf
    patient: bool = False

    def ends_at_s(self, closing: Closing) -> float:
        """From when on the best so far will do."""
        return self.budget_at_s if self.patient else min(self.budget_at_s, closing.at_s)


class Watch:
    """The watchers of one computation; `join` and `leave` on the loop, `observe` in a slot."""

    def __init__(self, closing: Closing | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = closing or Closing()
        # Replaced, never changed: `observe` reads it from another thread.
        self._watchers: tuple[Watcher, ...] = ()
        self._partial_at_s = time.monotonic() + _PARTIAL_EVERY_S

    def join(self, watcher: Watcher) -> None:
        """Watch from now on."""
        self._watchers = (*self._watchers, watcher)

    def leave(self, watcher: Watcher) -> None:
        """Watch no more."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)

    @property
    def ends_at_s(self) -> float:
        """When the first of those who wait now has no more time; infinity never."""
        ends = (min(w.ends_at_s(self._closing), w.deadline_at_s) for w in self._watchers)
        return min(ends, default=math.inf)

    def observe(self, says: RowSays, progress: Progress) -> Partial | More:
        """Look up between two slices: tell the watchers, and stop if the last budget is over."""
        watchers = self._watchers
        now = time.monotonic()
        over = [watcher for watcher in watchers if now >= watcher.ends_at_s(self._closing)]
        partial: Partial | None = None
        if progress.best is not None and (over or self._partial_is_due(watchers, now)):
            partial = Partial(entry_of(progress.best(), says))
            spent = time.monotonic() - now
            self._partial_at_s = now + max(_PARTIAL_EVERY_S, _PARTIAL_SHARE * spent)
        share = min(progress.done / max(1, progress.total), 0.999)
        if over or any(w.on_progress is not None or w.budget_at_s < math.inf for w in watchers):
            self._call(lambda: self._tell(over, share, partial))
        if partial is not None and watchers and len(over) == len(watchers):
            return partial
        return MORE

    def _partial_is_due(self, watchers: tuple[Watcher, ...], now: float) -> bool:
        listening = any(watcher.on_progress is not None for watcher in watchers)
        return listening and now >= self._partial_at_s

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return  # the loop is closed, and with it went those who watched

    def _tell(self, over: list[Watcher], share: float, partial: Partial | None) -> None:
        for watcher in self._watchers:  # those who left by now are not told
            if watcher.on_progress is not None:
                watcher.on_progress(share, None if partial is None else partial.entry.attribution)
            if watcher in over and partial is not None and not watcher.partial.done():
                watcher.partial.set_result(partial)
