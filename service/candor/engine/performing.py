"""One step of what left the queue together: who is late or gone is left out of the run."""

from candor.engine.joint import Outcome, outcome_of, run_jointly
from candor.engine.work import Work
from candor.errors import DeadlineExceeded
from candor.metrics import Metrics

__all__ = ["perform"]


def perform(works: list[Work], metrics: Metrics) -> list[Outcome]:
    """Do the next step of a work, or the one step of works that share a run.

    Returns:
        A value or a failure for each; of one that nobody waits for, neither.
    """
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
