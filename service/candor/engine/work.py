"""One piece of work on its way through the slots, and how its answer gets back to its loop."""

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from candor.engine.deadline import Deadline
from candor.engine.joint import Joint
from candor.engine.places import Place
from candor.engine.share import NOBODY, Share
from candor.errors import Unavailable
from candor.explain.question import Progress
from candor.metrics import WorkClass
from candor.spans import Trace, current

__all__ = ["MORE", "More", "Work", "slice_of", "stopping"]

T = TypeVar("T")


class More:
    """The type of `MORE`."""


MORE: Final = More()
"""What a step answers that is not done yet."""


@dataclass(slots=True, eq=False)
class Work:
    """A function to be called until it answers something else than `MORE`.

    `state`, `started`, `abandoned` and `has_turn` belong to the lock of the workers; `future` to
    the event loop that made the work.

    Attributes:
        close: called when the work has ended, however it did.
        joint: how it may be done together with others; `step` does it alone.
        place: of the bulk request that it is a part of.
        trace: of the request that made it; None where it is not traced.
        has_turn: whether it is one of the bulk works that take turns.
    """

    work_class: WorkClass
    model: str
    step: Callable[[], Any]
    deadline: Deadline
    share: Share = NOBODY
    close: Callable[[], None] | None = None
    joint: Joint | None = None
    place: Place | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    state: Literal["queued", "running", "done"] = "queued"
    abandoned: bool = False
    started: bool = False
    has_turn: bool = False
    queued_at: float = field(default_factory=time.monotonic)
    busy_s: float = 0.0
    trace: Trace | None = field(default_factory=current)
    future: "asyncio.Future[Any]" = field(init=False)

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    @property
    def path(self) -> tuple[str, ...]:
        """Whose turn it is, from the outside in."""
        return self.model, self.share.caller, self.share.connection

    @property
    def priority(self) -> int:
        """Lower goes first, among the work of one connection."""
        return self.share.priority

    @property
    def rows(self) -> int:
        """By which what a shared run has taken is divided; no request is free."""
        return max(1, self.joint.rows) if self.joint is not None else 1

    @property
    def gathers_until_s(self) -> float:
        """The monotonic instant from which it does not wait for company."""
        return self.queued_at + (self.joint.delay_s if self.joint is not None else 0.0)

    def end(self, value: Any, error: BaseException | None) -> None:
        """Clean up and deliver, from any thread: the failure if there is one, else the value."""
        try:
            if self.close is not None:
                self.close()
        except BaseException as raised:  # noqa: BLE001 - it travels to whoever awaits the work
            error = error or raised
        if isinstance(error, StopIteration):  # a future cannot hold it
            error = RuntimeError("StopIteration left a piece of work")
        self._post(value, error)

    def _post(self, value: Any, error: BaseException | None) -> None:
        def deliver() -> None:
            if self.future.done():  # nobody waits any more
                return
            if error is None:
                self.future.set_result(value)
            else:
                self.future.set_exception(error)

        try:
            self.loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            # The loop is closed: those who asked are gone with it.
            return


def slice_of(
    steps: Generator[Progress, None, T], observe: Callable[[Progress], T | More]
) -> T | More:
    """Advance a bulk explainer by one slice.

    Args:
        steps: the explainer.
        observe: sees the progress between two slices; answers `MORE`, or what to stop with.
    """
    try:
        progress = next(steps)
    except StopIteration as end:
        value: T = end.value
        return value
    return observe(progress)


def stopping() -> Unavailable:
    """What work fails with that nobody will do any more."""
    return Unavailable("the server is stopping")
