"""Replicas as queues, event by event: who waits how long, by how requests are handed out.

A replica has cores. Interactive work goes first, in the order of its coming; bulk work is done in
slices, one of each in turn, and what is interactive waits for no more than a slice (as in
docs/scheduling.md). A dispatcher chooses the replica when the request comes, and that is final.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DISPATCH", "SLICE_S", "Request", "Times", "arrivals", "simulate"]

SLICE_S: Final = 0.025
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Request:
    """When it comes, what it takes of one core, and whether it is done in slices."""

    at_s: float
    work_s: float
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """For each request: until it first had a core, and until it was done."""

    wait_s: Floats
    total_s: Floats


@dataclass(slots=True)
class _Replica:
    idle: int
    inside: int = 0
    first: deque[int] = field(default_factory=deque)
    later: deque[int] = field(default_factory=deque)


Dispatch = Callable[[Sequence[_Replica], np.random.Generator, int], int]


def _least(replicas: Sequence[_Replica], rng: np.random.Generator, _: int) -> int:
    """Fewest requests in the house, of which the proxy knows (leastconn); ties at random."""
    fewest = min(replica.inside for replica in replicas)
    ties = [at for at, replica in enumerate(replicas) if replica.inside == fewest]
    return ties[int(rng.integers(len(ties)))] if len(ties) > 1 else ties[0]


def _of_two(replicas: Sequence[_Replica], rng: np.random.Generator, _: int) -> int:
    """The better of two drawn at random."""
    one, other = (int(at) for at in rng.integers(len(replicas), size=2))
    return one if replicas[one].inside <= replicas[other].inside else other


def _in_turn(replicas: Sequence[_Replica], _: np.random.Generator, number: int) -> int:
    return number % len(replicas)


def _at_random(replicas: Sequence[_Replica], rng: np.random.Generator, _: int) -> int:
    return int(rng.integers(len(replicas)))


DISPATCH: Final[dict[str, Dispatch]] = {
    "least": _least,
    "of two": _of_two,
    "in turn": _in_turn,
    "at random": _at_random,
}


def arrivals(
    rng: np.random.Generator, rate: float, count: int, work_s: Callable[[int], Floats],
    *, bulk: bool = False,
) -> list[Request]:  # fmt: skip
    """A Poisson stream of `count` requests; `work_s(n)` draws n of what they take."""
    times = np.cumsum(rng.exponential(1 / rate, count))
    pairs = zip(times.tolist(), work_s(count).tolist(), strict=True)
    return [Request(at_s, seconds, bulk) for at_s, seconds in pairs]


def simulate(
    requests: Sequence[Request], *, replicas: int, cores: int, dispatch: str, seed: int = 0
) -> Times:
    """Let them all come, and be done.

    Args:
        requests: in any order.
        replicas: how many.
        cores: of each.
        dispatch: a key of `DISPATCH`.
        seed: of the dispatcher's draws.
    """
    choose, rng = DISPATCH[dispatch], np.random.default_rng(seed)
    fleet = [_Replica(cores) for _ in range(replicas)]
    left_s = [request.work_s for request in requests]
    began_s, ended_s = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    order = sorted(range(len(requests)), key=lambda n: requests[n].at_s)
    # (when, number of the event, replica, request); a core that is freed.
    freed: list[tuple[float, int, int, int]] = []
    events = 0

    def start(at: int, now_s: float) -> None:
        nonlocal events
        replica = fleet[at]
        while replica.idle and (replica.first or replica.later):
            request = (replica.first or replica.later).popleft()
            if np.isnan(began_s[request]):
                began_s[request] = now_s
            turn_s = min(left_s[request], SLICE_S) if requests[request].bulk else left_s[request]
            left_s[request] -= turn_s
            replica.idle -= 1
            events += 1
            heapq.heappush(freed, (now_s + turn_s, events, at, request))

    def free_until(now_s: float) -> None:
        while freed and freed[0][0] <= now_s:
            at_s, _, at, request = heapq.heappop(freed)
            replica = fleet[at]
            replica.idle += 1
            if left_s[request] > 0:
                replica.later.append(request)
            else:
                replica.inside -= 1
                ended_s[request] = at_s
            start(at, at_s)

    for number, request in enumerate(order):
        come = requests[request]
        free_until(come.at_s)
        at = choose(fleet, rng, number)
        replica = fleet[at]
        replica.inside += 1
        (replica.later if come.bulk else replica.first).append(request)
        start(at, come.at_s)
    free_until(np.inf)
    at_s = np.array([request.at_s for request in requests])
    return Times(began_s - at_s, ended_s - at_s)
