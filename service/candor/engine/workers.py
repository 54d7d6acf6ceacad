"""The slots in which all computing happens: threads around `queues`, bounded, with clean ends.

Bulk work runs one slice at a time, and after each slice goes back to its queue, so that interactive
work never waits for more than a slice. There is one thread more than slots: interactive work that
finds every slot busy with slices starts at once on the spare one, at the price of sharing cores
until a slice ends. (Measured with two slots beside six LIMEs: a 1 ms prediction took 1-4 ms at the
median, 17-24 ms without the spare thread, and bulk throughput was no lower.)
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from candor.engine.deadline import Deadline
from candor.engine.queues import Limits, Queues
from candor.engine.work import MORE, More, Work, slice_of
from candor.errors import DeadlineExceeded, Overloaded, Unavailable
from candor.explain.question import Progress
from candor.metrics import Metrics, WorkClass

__all__ = ["Limits", "Workers"]

T = TypeVar("T")

_RETRY_S: Final = (0.05, 60.0)
_CLASS_NAMES: Final[dict[WorkClass, str]] = {
    "interactive": "predictions",
    "bulk": "long explanations",
}


class Workers:
    """Owns the threads; works come from event loops and answer there."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._less = threading.Condition(self._lock)
        self._queues = Queues(limits.slots, metrics)
        self._mean_s: dict[WorkClass, float] = {"interactive": 0.01, "bulk": 1.0}
        self._inside = 0
        self._places = 0
        self._draining = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"candor-worker-{index}", daemon=True)
            for index in range(limits.slots + 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def slots(self) -> int:
        """How many works run at the same time."""
        return self._limits.slots

    async def run(self, function: Callable[[], T], model: str, deadline: Deadline) -> T:
        """Call a function in a slot, before all bulk work.

        Raises:
            Overloaded: too many wait already.
            DeadlineExceeded: the deadline passed before the function was called.
            Unavailable: the workers are closed.
        """
        work = Work("interactive", model, function, deadline)
        with self._lock:
            if self._queues.n_interactive >= self._limits.predict_queue:
                raise self._overloaded("interactive", model, self._queues.n_interactive)
            self._enqueue(work)
        answer: T = await self._answer(work)
        return answer

    @contextmanager
    def inside(self, model: str, work_class: WorkClass) -> Iterator[None]:
        """Be in the house with one request, from its first step to its last; draining waits for it.

        Raises:
            Unavailable: a bulk request, and the workers are draining.
        """
        with self._lock:
            if self._draining and work_class == "bulk":
                self._metrics.shed(model, work_class, "draining")
                raise Unavailable("the server is stopping and takes no new long explanations")
            self._inside += 1
        try:
            with self._metrics.inflight(work_class):
                yield
        finally:
            with self._lock:
                self._inside -= 1
                self._less.notify_all()

    @contextmanager
    def place(self, model: str) -> Iterator[None]:
        """Hold one of the places for bulk requests while they `advance` their works.

        Raises:
            Overloaded: no place is left.
        """
        with self._lock:
            if self._places >= self._limits.slots + self._limits.explain_queue:
                raise self._overloaded("bulk", model, self._places)
            self._places += 1
        try:
            yield
        finally:
            with self._lock:
                self._places -= 1

    async def advance(
        self,
        steps: Generator[Progress, None, T],
        observe: Callable[[Progress], T | More],
        model: str,
    ) -> T:
        """Run a bulk explainer slice by slice; its cancellation takes effect within one slice.

        Args:
            steps: the explainer; closed when the work ends, however it ends.
            observe: called in the slot after each slice; answers `MORE`, or what to stop with.
            model: for the metrics.

        Raises:
            Unavailable: the workers are closed.
        """
        work = Work("bulk", model, partial(slice_of, steps, observe), Deadline(), steps.close)
        with self._lock:
            self._enqueue(work)
        answer: T = await self._answer(work)
        return answer

    async def drain(self, seconds: float) -> bool:
        """Take no new bulk requests, and wait until nobody is inside and nothing left to do.

        Returns:
            False if work was still under way after this time; `close` will fail it.
        """
        with self._lock:
            self._draining = True
        return await asyncio.to_thread(self._wait_idle, seconds)

    async def close(self) -> None:
        """Fail what is queued, let running steps end, and join the threads."""
        with self._lock:
            self._draining = self._closed = True
            removed = self._queues.remove_all()
            self._more.notify_all()
        for work in removed:
            work.end(None, _stopping())
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _answer(self, work: Work) -> T:
        try:
            answer: T = await work.future
        except asyncio.CancelledError:
            with self._lock:
                work.abandoned = True
                queued = work.state == "queued"
                if queued:
                    self._queues.remove(work)
                    self._less.notify_all()
            if queued:
                work.end(None, None)
            raise
        return answer

    # With the lock held -----------------------------------------------------------------------

    def _enqueue(self, work: Work) -> None:
        if self._closed:
            raise _stopping()
        self._queues.put(work)
        self._more.notify()

    def _overloaded(self, work_class: WorkClass, model: str, waiting: int) -> Overloaded:
        self._metrics.shed(model, work_class, "queue_full")
        seconds = self._mean_s[work_class] * waiting / self._limits.slots
        retry_after_s = round(min(max(seconds, _RETRY_S[0]), _RETRY_S[1]), 3)
        return Overloaded(
            f"{waiting} {_CLASS_NAMES[work_class]} are waiting already; "
            f"try again in {retry_after_s:g} s",
            retry_after_s,
        )

    def _step_aside(self, work: Work, *, more: bool) -> bool:
        """Free the slot; True if the work went back to its queue for another slice."""
        if more and not work.abandoned and not self._closed:
            self._queues.put_back(work)
            self._more.notify()
            return True
        self._queues.end(work)
        # A mean that forgets: what a work of this class costs lately, for the retry hint.
        self._mean_s[work.work_class] += 0.1 * (work.busy_s - self._mean_s[work.work_class])
        self._less.notify_all()
        return False

    # In the threads ---------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._lock:
                while (work := self._queues.take()) is None:
                    if self._closed:
                        return
                    self._more.wait()
            self._perform(work)

    def _perform(self, work: Work) -> None:
        if not work.started:
            work.started = True
            self._metrics.queued(work.model, work.work_class, time.monotonic() - work.queued_at)
        value: object = None
        error: BaseException | None = None
        if work.deadline.expired:
            self._metrics.shed(work.model, work.work_class, "deadline")
            error = DeadlineExceeded("the deadline passed while the request waited for a slot")
        else:
            try:
                value = work.run_step()
            except BaseException as raised:  # noqa: BLE001 - it travels to whoever awaits the work
                error = raised
        with self._lock:
            again = self._step_aside(work, more=value is MORE)
        if not again:
            work.end(value, error if value is not MORE else _stopping())

    def _wait_idle(self, seconds: float) -> bool:
        with self._lock:
            return self._less.wait_for(
                lambda: self._queues.idle and self._inside == 0, timeout=seconds
            )


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping")
