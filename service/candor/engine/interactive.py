"""Explanations that cost about a prediction: in batches, ahead of all bulk work, once per key."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from candor.engine.assemble import Found
from candor.engine.batch import RowSays, run_batch
from candor.engine.cut import row_of
from candor.engine.deadline import Deadline
from candor.engine.entry import Entry
from candor.engine.flight import Seat
from candor.engine.gather import all_of
from candor.engine.house import House, Landed, keep, named, origin
from candor.engine.joint import Joint
from candor.engine.plan import Ask, Plan
from candor.engine.watch import Watch
from candor.errors import InternalError, InvalidArgument
from candor.explain.options import Options
from candor.explain.parse import method_name
from candor.result import Tensors

__all__ = ["answer_interactive"]

_MAX_ROWS: Final = 64
"""Of one run: a larger batch gains nothing and would hold its slot for seconds."""


async def answer_interactive(
    house: House, plan: Plan, asks: Sequence[Ask], known: Mapping[int, RowSays]
) -> dict[str, Found]:
    """Answer questions that the cache could not.

    Args:
        house: shared by all requests.
        plan: of this request.
        asks: distinct, of interactive methods.
        known: what the model says of the rows, where the runs cannot tell.

    Returns:
        Answers by flight.
    """
    batches: dict[tuple[Options, tuple[int, ...]], list[Ask]] = defaultdict(list)
    for ask in asks:
        batches[ask.options, ask.question.x.shape].append(ask)
    parts = [
        batch[start : start + _MAX_ROWS]
        for batch in batches.values()
        for start in range(0, len(batch), _MAX_ROWS)
    ]
    answered = await all_of(_answer_batch(house, plan, part, known) for part in parts)
    return {flight: found for part in answered for flight, found in part.items()}


async def _answer_batch(
    house: House, plan: Plan, asks: Sequence[Ask], known: Mapping[int, RowSays]
) -> dict[str, Found]:
    found: dict[str, Found] = {}
    seats: list[tuple[Ask, Seat[Landed, Watch]]] = []
    with ExitStack() as leaving:
        alone: list[Ask] = []
        for ask in asks:
            # Memory again: a flight may have landed between the look-up and now. From here to the
            # launch nothing is awaited.
            if plan.reads and ask.key and (entry := house.cache.peek(ask.key)) is not None:
                found[ask.flight] = Found(entry, "hit")
            elif (seat := house.flights.join(ask.flight)) is not None:
                seats.append((ask, leaving.enter_context(seat)))
            else:
                alone.append(ask)
        if alone:
            compute = partial(_compute, house, plan, alone, known)
            launched = house.flights.launch([ask.flight for ask in alone], compute, Watch())
            seats += [(ask, leaving.enter_context(launched[ask.flight])) for ask in alone]
        for ask, seat in seats:
            with named(ask, plan):
                landed = await seat.result()
            found[ask.flight] = Found(landed.entry, origin(plan, ask, joined=seat.joined))
    return found


async def _compute(
    house: House, plan: Plan, asks: Sequence[Ask], known: Mapping[int, RowSays]
) -> dict[str, Landed | Exception]:
    try:
        # No deadline: others may join. The flight is cancelled when the last of them has left.
        joint = _joint(house, plan, asks, known)
        entries = await house.workers.run_joint(joint, plan.model.id.name, Deadline(), plan.share)
    except InvalidArgument as error:
        if len(asks) == 1:
            return {asks[0].flight: error}
        # One of the rows is wrong: each by itself, so that it fails alone and can be named.
        singly = [await _compute(house, plan, [ask], known) for ask in asks]
        return {flight: landed for one in singly for flight, landed in one.items()}
    keep(house, plan, asks, entries)
    return {ask.flight: Landed(entry) for ask, entry in zip(asks, entries, strict=True)}


@dataclass(frozen=True, slots=True)
class _Part:
    """What one request brings to a run."""

    house: House
    plan: Plan
    asks: Sequence[Ask]
    says: Sequence[RowSays]


def _joint(house: House, plan: Plan, asks: Sequence[Ask], known: Mapping[int, RowSays]) -> Joint:
    """Questions of one method, options and shape, as work that may share its run with others."""
    says = [known[ask.row] for ask in asks] if known else []
    model, question, rows = plan.model, asks[0].question, len(asks)
    limit = model.joining.max_rows(Tensors(row_of(plan.batch, asks[0].row)))
    max_rows = min(_MAX_ROWS, limit)
    shape = (question.x.shape, plan.subject.geometry.parts)
    alike = (question.x.dtype.str, shape, question.explained, bool(known))
    key = ("explain", id(model), plan.output, asks[0].options, alike)
    delay_s = model.joining.delay_s if rows < max_rows else 0.0
    return Joint(key, _Part(house, plan, asks, says), rows, max_rows, delay_s, _run)


def _run(parts: Sequence[_Part]) -> list[list[Entry]]:
    house, plan = parts[0].house, parts[0].plan
    asks = [ask for part in parts for ask in part.asks]
    if len(parts) > 1 and not plan.model.joining.alike(row_of(plan.batch, asks[0].row)):
        raise InternalError("rows of this model do not share a run")
    began = time.perf_counter()
    says = [row for part in parts for row in part.says]
    entries = iter(run_batch(plan.model, plan.subject, asks, says))
    seconds = time.perf_counter() - began
    house.metrics.batch(plan.model.id.name, len(asks))
    house.pace.note(plan.model.id.digest, method_name(asks[0].options), len(asks), seconds)
    return [[next(entries) for _ in part.asks] for part in parts]
