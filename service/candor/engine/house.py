"""What all requests share, and the look-up that every explanation begins with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from candor.engine.assemble import Found
from candor.engine.entry import Entry
from candor.engine.fit import fits
from candor.engine.flight import Flights
from candor.engine.pace import Pace
from candor.engine.plan import Ask, Plan
from candor.engine.tiers import Tiers
from candor.engine.watch import Closing, Watch
from candor.engine.workers import Workers
from candor.errors import InvalidArgument, InvalidInput
from candor.metrics import Metrics
from candor.result import CacheStatus, Json

__all__ = ["House", "Landed", "distinct", "keep", "look_up", "named", "origin"]


@dataclass(frozen=True, slots=True)
class Landed:
    """What a flight brings.

    Attributes:
        elsewhere: another replica computed it meanwhile.
    """

    entry: Entry
    complete: bool = True
    elsewhere: bool = False


Shared: TypeAlias = Flights[Landed, Watch]


@dataclass(frozen=True, slots=True)
class House:
    """Built once; every request passes through."""

    cache: Tiers
    workers: Workers
    metrics: Metrics
    flights: Shared = field(default_factory=Flights)
    pace: Pace = field(default_factory=Pace)
    closing: Closing = field(default_factory=Closing)


def distinct(asks: Sequence[Ask]) -> list[Ask]:
    """One ask for each flight: a request may ask the same thing twice."""
    return list({ask.flight: ask for ask in reversed(asks)}.values())[::-1]


async def look_up(house: House, plan: Plan) -> dict[str, Found]:
    """What the cache knows already, by flight."""
    if not plan.reads:
        return {}
    asks = {ask.key: ask for ask in plan.asks if ask.key}
    entries = await house.cache.get_many(list(asks))
    found: dict[str, Found] = {}
    for key, entry in entries.items():
        if fits(plan, asks[key], entry):
            found[key] = Found(entry, "hit")
        else:
            house.cache.refuse(key)
    return found


def keep(house: House, plan: Plan, asks: Sequence[Ask], entries: Sequence[Entry]) -> None:
    """Count what was computed, and store it unless the request or the seed forbids that."""
    for entry in entries:
        trust = entry.attribution.trust
        fidelity = _fidelity(entry.attribution.method, trust.get("figures"))
        if fidelity is not None:
            house.metrics.fidelity(plan.model.id.name, entry.attribution.method, fidelity)
    if plan.writes:
        house.cache.put_many(
            {ask.key: entry for ask, entry in zip(asks, entries, strict=True) if ask.key}
        )


def origin(plan: Plan, ask: Ask, *, joined: bool) -> CacheStatus:
    """What is said of an answer that was computed, by us or by whom we joined."""
    if joined:
        return "coalesced"
    return "miss" if plan.writes and ask.key else "bypass"


@contextmanager
def named(ask: Ask, plan: Plan) -> Iterator[None]:
    """Say in the caller's own terms which row is wrong; a shared flight cannot know."""
    try:
        yield
    except InvalidArgument as error:
        # An input that is wrong is named by its row even where it is the only one, as `plan` does.
        if plan.n_rows == 1 and not isinstance(error, InvalidInput):
            raise
        raise type(error)(f"row {ask.row}: {error}") from error


def _fidelity(method: str, figures: Json) -> float | None:
    """The figure that says how faithful the explanation is, 1 at best."""
    if not isinstance(figures, Mapping):
        return None
    name, sign = _FIDELITY_FIGURES.get(method, ("faithfulness_correlation", 1))
    value = figures.get(name)
    if not isinstance(value, int | float):
        return None
    return float(value) if sign > 0 else 1.0 - float(value)


_FIDELITY_FIGURES: Final[Mapping[str, tuple[str, int]]] = {
    "lime": ("out_of_sample_r2", 1),
    "integrated_gradients": ("relative_completeness_gap", -1),
}
"""Name of the figure in the trust record, and whether more (1) or less (-1) of it is better.

The other methods have one only where full trust was asked for."""
