"""One piece of work on its way through the slots, and how its answer gets back to its loop."""

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, TypeVar

from candor.engine.deadline import Deadline
from candor.explain.question import Progress
from candor.metrics import WorkClass

__all__ = ["MORE", "More", "Work", "slice_of"]

T = TypeVar("T")


class More:
    """The type of `MORE`."""


MORE: Final = More()
"""What a step answers that is not done yet."""


class Work:
    """A function to be called until it answers something else than `MORE`.

    `state` and `abandoned` belong to the lock of the workers; `future` to the event loop that made
    the work.
    """

    __slots__ = (
        "abandoned", "busy_s", "close", "deadline", "future", "loop", "model", "queued_at",
        "started", "state", "step", "work_class",
    )  # fmt: skip

    def __init__(
        self,
        work_class: WorkClass,
        model: str,
        step: Callable[[], Any],
        deadline: Deadline,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.work_class: WorkClass = work_class
        self.model = model
        self.step = step
        self.deadline = deadline
        self.close = close
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.state: Literal["queued", "running", "done"] = "queued"
        self.abandoned = False
        self.started = False
        self.queued_at = time.monotonic()
        self.busy_s = 0.0

    def run_step(self) -> Any:
        """One step, timed."""
        began = time.monotonic()
        try:
            return self.step()
        finally:
            self.busy_s += time.monotonic() - began

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
