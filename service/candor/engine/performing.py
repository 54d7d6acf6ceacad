"""One step of what left the queue together: who is late or gone is left out of the run."""

import time

from candor.engine.joint import Outcome, outcome_of, run_jointly
from candor.engine.work import Work
from candor.errors import DeadlineExceeded
from candor.metrics import Metrics
from candor.spans import Step, stepping

__all__ = ["perform"]


def perform(works: list[Work], metrics: Metrics) -> tuple[list[Outcome], float]:
    """Do the next step of a work, or the one step of works that share a run.

    Returns:
        A value or a failure for each; of one that nobody waits for, neither. And the seconds.
    """
    began = time.monotonic()
    traced = _traced_step(works, began)
    for work in works:
        if not work.started:
            work.started = True
            metrics.queued(work.model, work.work_class, began - work.queued_at)
    outcomes = _performed(works, metrics) if traced is None else _told(works, metrics, traced)
    seconds = time.monotonic() - began
    for work in works:
        work.busy_s += seconds / len(works)
    return outcomes, seconds


def _traced_step(works: list[Work], began_s: float) -> Step | None:
    """The step that is about to be done, where one of the requests is traced."""
    traced = [work for work in works if work.trace is not None]
    if not traced:
        return None
    first = works[0]
    kind = "slice" if first.work_class == "bulk" else "batch" if first.joint else "step"
    return Step(
        kind,
        first.model,
        tuple(work.trace for work in traced if work.trace is not None),
        tuple(None if work.started else work.queued_at for work in traced),
        len(works),
        began_s,
    )


def _told(works: list[Work], metrics: Metrics, traced: Step) -> list[Outcome]:
    with stepping(traced):
        outcomes = _performed(works, metrics)
        failures = [error for _, error in outcomes if error is not None]
        traced.failed = type(failures[0]).__name__ if failures else ""
        traced.ended_s = time.monotonic()
    return outcomes


def _performed(works: list[Work], metrics: Metrics) -> list[Outcome]:
    if len(works) == 1 and not works[0].abandoned and not works[0].deadline.expired:
        joint = works[0].joint
        return [outcome_of(works[0].step)] if joint is None else run_jointly([joint])
    outcomes: dict[Work, Outcome] = {}
    for work in works:
        if work.deadline.expired:
            metrics.shed(work.model, work.work_class, "deadline")
            outcomes[work] = (None, _too_late())
        elif work.abandoned:
            outcomes[work] = (None, None)
    wanted = [work for work in works if work not in outcomes]
    joints = [work.joint for work in wanted if work.joint is not None]
    found = run_jointly(joints) if joints else [outcome_of(work.step) for work in wanted]
    outcomes |= dict(zip(wanted, found, strict=True))
    return [outcomes[work] for work in works]


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the request waited for a slot")
