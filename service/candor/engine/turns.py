"""Fair turns: among models, among a model's callers, and among the connections of a caller.

At each of these levels whoever has had the least time goes next (start-time fair queueing: Goyal,
Vin, Cheng 1997), so that one who asks much waits for itself. A newcomer begins level with those who
are served already: it neither waits for their past nor saves up for its future. Connections come
under their address, so that opening many of them brings nobody more than its share.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from itertools import chain, count, zip_longest
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["Turns"]

_LONGEST_S: Final = 0.25
"""What one step costs its caller at most: the first of a method also compiles its program."""
_BEGUN_S: Final = 0.001
"""What a step costs while it runs, so that not all slots fall to one who has had the least."""
_MOST_IDLE: Final = 1024


class Taker(Protocol):
    """What takes turns."""

    @property
    def path(self) -> tuple[str, ...]:
        """Whose turn it is, from the outside in; of the same length for all."""
        ...

    @property
    def priority(self) -> int:
        """Lower goes first, among those of the same path."""
        ...


T = TypeVar("T", bound=Taker)


class _Branch(Generic[T]):
    """Those whose paths begin alike.

    Attributes:
        had: seconds that they have had, on the clock of the branch above.
        clock: what the one who went last had had by then.
        size: how many wait here.
        branches: of this one; those who do not wait for now are kept for what they have had.
        active: those of them where somebody waits.
        works: in order, where the path ends.
    """

    __slots__ = ("active", "branches", "clock", "had", "last", "size", "works")

    def __init__(self, had: float, last: int) -> None:
        self.had = had
        self.last = last
        self.clock = 0.0
        self.size = 0
        self.branches: dict[str, _Branch[T]] = {}
        self.active: dict[str, _Branch[T]] = {}
        self.works: list[T] = []

    def next(self) -> "_Branch[T]":
        if len(self.active) == 1:
            return next(iter(self.active.values()))
        return min(self.active.values(), key=_has_had)

    def largest(self) -> "_Branch[T]":
        return max(self.active.values(), key=lambda branch: branch.size)

    def leaves(self) -> Iterator[Sequence[T]]:
        if self.works:
            yield self.works
        for branch in sorted(self.active.values(), key=_has_had):
            yield from branch.leaves()


def _has_had(branch: _Branch[T]) -> tuple[float, int]:
    return branch.had, branch.last


class Turns(Generic[T]):
    """Those who wait for a turn; callers hold the workers' lock."""

    def __init__(self) -> None:
        self._root: _Branch[T] = _Branch(0.0, 0)
        self._ticks = count()

    def __len__(self) -> int:
        return self._root.size

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._root.leaves())

    def put(self, work: T) -> None:
        """Wait behind those of the same path and priority."""
        branch = self._root
        branch.size += 1
        for name in work.path:
            branch = self._enter(branch, name)
            branch.size += 1
        insort(branch.works, work, key=lambda other: other.priority)

    def take(self) -> T:
        """The one whose turn it is; there must be one."""
        branch = self._root
        while branch.active:
            branch = branch.next()
        work = branch.works[0]
        self.remove(work)
        self.began(work)
        return work

    def began(self, work: T) -> None:
        """Count a step that starts."""
        above = self._root
        tick = next(self._ticks)
        for branch in self._along(work):
            above.clock = max(above.clock, branch.had)
            branch.had += _BEGUN_S
            branch.last = tick
            above = branch

    def ended(self, work: T, seconds: float) -> None:
        """Count what the step has taken."""
        more = min(seconds, _LONGEST_S) - _BEGUN_S
        for branch in self._along(work):
            branch.had += more

    def remove(self, work: T) -> None:
        """Let one go who waits here."""
        above = self._root
        above.size -= 1
        for name in work.path:
            branch = above.branches[name]
            branch.size -= 1
            if not branch.size:
                del above.active[name]
            above = branch
        above.works.remove(work)

    def beside(self, work: T) -> Iterator[T]:
        """Those who wait for the same model: one of each connection, then the second of each."""
        branch = self._root.branches.get(work.path[0])
        rounds = zip_longest(*branch.leaves()) if branch is not None else ()
        return (other for other in chain.from_iterable(rounds) if other is not None)

    def rival(self, path: Sequence[str]) -> T | None:
        """Who has to make room for a newcomer: the last of those who would still wait for more."""
        branch = self._root
        for name in path:
            if not branch.size:
                return None
            own, largest = branch.active.get(name), branch.largest()
            if own is not largest and (own.size if own else 0) + 1 < largest.size:
                while largest.active:
                    largest = largest.largest()
                return largest.works[-1]
            if own is None:
                return None
            branch = own
        return None

    def _enter(self, above: _Branch[T], name: str) -> _Branch[T]:
        branch = above.branches.get(name)
        if branch is None:
            if len(above.branches) >= _MOST_IDLE:  # callers come and go: debts are forgotten
                above.branches = dict(above.active)
            branch = above.branches[name] = _Branch(above.clock, next(self._ticks))
        elif not branch.size:
            branch.had = max(branch.had, above.clock)
        above.active[name] = branch
        return branch

    def _along(self, work: T) -> list[_Branch[T]]:
        along: list[_Branch[T]] = []
        branches = self._root.branches
        for name in work.path:
            branch = branches.get(name)
            if branch is None:  # forgotten
                break
            along.append(branch)
            branches = branch.branches
        return along
