"""Long explanations: slice by slice, with progress, budgets, and one computation per key."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from candor.engine.assemble import Found
from candor.engine.batch import entry_of
from candor.engine.entry import Entry
from candor.engine.fit import fits
from candor.engine.flight import Seat
from candor.engine.gather import all_of
from candor.engine.guard import Guard
from candor.engine.house import House, Landed, keep, named, origin
from candor.engine.leases import Lease
from candor.engine.places import Place
from candor.engine.plan import Ask, Plan
from candor.engine.rows import Rows
from candor.engine.watch import OnProgress, Partial, Watch, Watcher
from candor.explain.explainers import evaluations, in_slices
from candor.explain.parse import method_name
from candor.result import Attribution

__all__ = ["Wishes", "answer_bulk"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What this request wants of its long explanations.

    Attributes:
        budget_at_s: monotonic instant from which the best so far will do; infinity never.
        on_progress: makes the listener of an ask; None where nobody listens.
        on_answer: told of each answer as it comes.
        deadline_at_s: monotonic instant from which nothing will do; infinity never.
        place: of this request, once it has one of its own.
        patient: whether the house may close meanwhile, because the rest would be done elsewhere.
    """

    budget_at_s: float
    on_progress: Callable[[Ask], OnProgress] | None
    on_answer: Callable[[Ask, Found], None]
    deadline_at_s: float = math.inf
    place: Place | None = None
    patient: bool = False


async def answer_bulk(
    house: House,
    plan: Plan,
    asks: Sequence[Ask],
    rows: Rows,
    wishes: Wishes,
) -> dict[str, Found]:
    """Answer questions that the cache could not.

    Args:
        house: shared by all requests.
        plan: of this request.
        asks: distinct, of bulk methods.
        rows: what the model says of them.
        wishes: budget and listeners.

    Returns:
        Answers by flight.

    Raises:
        Overloaded, Unavailable: there is no place for another long explanation.
    """
    # As many at a time as there are slots: a request of a thousand rows takes no larger share of
    # the rotation than one of a few.
    turns = asyncio.Semaphore(house.workers.slots)

    async def answer(ask: Ask) -> Found:
        async with turns:
            with named(ask, plan):
                found = await _answer(house, plan, ask, rows, wishes)
            wishes.on_answer(ask, found)
            return found

    # Those who only wait for others' computations need no place of their own.
    leads = any(ask.flight not in house.flights for ask in asks)
    places, name = house.workers.places, plan.model.id.name
    with places.enter(name, plan.share) if leads else nullcontext() as place:
        wishes = replace(wishes, place=place)
        answers = await all_of(answer(ask) for ask in asks)
    return {ask.flight: found for ask, found in zip(asks, answers, strict=True)}


async def _answer(house: House, plan: Plan, ask: Ask, rows: Rows, wishes: Wishes) -> Found:
    while True:
        # Memory again: a flight may have landed since the look-up. From here to the launch nothing
        # is awaited.
        if plan.reads and ask.key and (entry := house.cache.peek(ask.key)) is not None:
            return Found(entry, "hit")
        seat = house.flights.join(ask.flight) or _launch(house, plan, ask, rows, wishes.place)
        with seat:
            watcher = _watcher(ask, wishes)
            landed = await _landing(seat, watcher)
        if landed.complete or time.monotonic() >= watcher.ends_at_s(house.closing):
            joined = seat.joined or landed.elsewhere
            return Found(landed.entry, origin(plan, ask, joined=joined), landed.complete)
        # It ended with the budget of those who had been there; ours is not over: on by ourselves.


def _launch(
    house: House, plan: Plan, ask: Ask, rows: Rows, place: Place | None
) -> Seat[Landed, Watch]:
    watch = Watch(house.closing)
    compute = partial(_compute, house, plan, ask, rows, watch, place)
    return house.flights.launch([ask.flight], compute, watch)[ask.flight]


def _watcher(ask: Ask, wishes: Wishes) -> Watcher:
    listener = None if wishes.on_progress is None else wishes.on_progress(ask)
    return Watcher(
        wishes.budget_at_s,
        listener,
        deadline_at_s=wishes.deadline_at_s,
        patient=wishes.patient,
    )


async def _landing(seat: Seat[Landed, Watch], watcher: Watcher) -> Landed:
    """Wait for the answer, or for what is known of it when our budget is over."""
    seat.note.join(watcher)
    try:
        ends: set[asyncio.Future[Any]] = {seat.landing, watcher.partial}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if seat.landing.done():
            return seat.landing.result()
        return Landed(watcher.partial.result().entry, complete=False)
    finally:
        seat.note.leave(watcher)


async def _compute(
    house: House, plan: Plan, ask: Ask, rows: Rows, watch: Watch, place: Place | None
) -> dict[str, Landed | Exception]:
    turn = await _turn(house, plan, ask, watch)
    if isinstance(turn, Entry):
        return {ask.flight: Landed(turn, elsewhere=True)}
    with turn:
        return await _compute_here(house, plan, ask, rows, watch, place)


async def _turn(house: House, plan: Plan, ask: Ask, watch: Watch) -> Entry | Lease:
    """What another replica computes meanwhile, or our turn to; at once where nobody is asked."""
    leases = house.cache.leases
    if leases is None or not (ask.key and plan.reads and plan.writes):
        return Lease(None)

    async def look() -> Entry | None:
        entry = (await house.cache.get_many([ask.key])).get(ask.key)
        return entry if entry is not None and fits(plan, ask, entry) else None

    return await leases.turn(ask.key, look, _latest_start(house, plan, ask, watch))


def _latest_start(house: House, plan: Plan, ask: Ask, watch: Watch) -> Callable[[], float]:
    """When we should compute it ourselves: with twice the time left that it has taken lately.

    Where nothing is known of that, with half of the time that is left now.
    """
    began_s = time.monotonic()
    each_s = house.pace.seconds(plan.model.id.digest, method_name(ask.options))
    if each_s is None:
        return lambda: (began_s + watch.ends_at_s) / 2
    needs_s = 2 * each_s * evaluations(plan.subject, ask.question, ask.options)
    return lambda: watch.ends_at_s - needs_s


async def _compute_here(
    house: House, plan: Plan, ask: Ask, rows: Rows, watch: Watch, place: Place | None
) -> dict[str, Landed | Exception]:
    model = plan.model.id
    says = await rows.says(ask.row)
    work = in_slices(Guard(plan.subject), ask.question, ask.options)
    steps = house.pace.timed(model.digest, work)
    observe = partial(watch.observe, says)
    outcome: Attribution | Partial = await house.workers.advance(
        steps, observe, model.name, plan.share, place
    )
    if isinstance(outcome, Partial):
        return {ask.flight: Landed(outcome.entry, complete=False)}
    entry = entry_of(outcome, says)
    keep(house, plan, [ask], [entry])
    return {ask.flight: Landed(entry)}
