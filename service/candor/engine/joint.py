"""Work that may share one run with others of its kind, and what becomes of each."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Joint", "Outcome", "outcome_of", "run_jointly"]

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""A value, or why there is none."""


@dataclass(frozen=True, slots=True)
class Joint:
    """How a piece of work runs together with others.

    Attributes:
        key: work of equal keys may share a run.
        item: what this piece brings to it.
        rows: of this piece.
        max_rows: of a run that is shared.
        delay_s: how long it may wait for others to come, where a slot is free.
        run: answers some items in one run, in order: a value, or the exception that is that item's
            alone; raises what is nobody's in particular.
    """

    key: Hashable
    item: Any
    rows: int
    max_rows: int
    delay_s: float
    run: Callable[[Sequence[Any]], Sequence[Any]]


def run_jointly(joints: Sequence[Joint]) -> list[Outcome]:
    """Run some work together; where that fails, each piece by itself.

    Nobody pays for what only the company of others brings about: one that the model cannot take, or
    rows that are too many together.
    """
    outcomes: list[Outcome]
    outcomes, error = outcome_of(lambda: _together(joints))
    if error is None:
        return outcomes
    if len(joints) == 1:
        return [(None, error)]
    return [outcome for joint in joints for outcome in run_jointly([joint])]


def outcome_of(call: Callable[[], Any]) -> Outcome:
    """What a call answers, or how it fails."""
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - it travels to whoever awaits the work
        return None, error


def _together(joints: Sequence[Joint]) -> list[Outcome]:
    found = joints[0].run([joint.item for joint in joints])
    return [
        (None, value) if isinstance(value, BaseException) else (value, None)
        for _, value in zip(joints, found, strict=True)
    ]
