"""The slots in which all computing happens: threads around `queues`, bounded, with clean ends.

What is brief is done by its caller on the event loop, in a slot that is spare: nobody waits for it.
Bulk work runs one slice at a time, and after each slice goes back to its queue, so that interactive
work never waits for more than a slice. There is one thread more than slots: interactive work that
finds every slot busy with slices starts at once on the spare one, at the price of sharing cores
until a slice ends. (Two slots beside six LIMEs: a 1 ms prediction took 1-4 ms at the median, 17-24
without the spare thread, and bulk throughput was no lower.)
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

from candor.engine.deadline import Deadline
from candor.engine.joint import Joint
from candor.engine.performing import perform
from candor.engine.places import Place, Places
from candor.engine.queues import Limits, Queues
from candor.engine.share import NOBODY, Share
from candor.engine.shedding import Shedding
from candor.engine.work import MORE, More, Work, slice_of, stopping
from candor.errors import Unavailable
from candor.explain.question import Progress
from candor.metrics import Metrics, WorkClass
from candor.spans import current

__all__ = ["Limits", "Workers"]

T = TypeVar("T")


class Workers:
    """Owns the threads; works come from event loops and answer there.

    Attributes:
        slots: how many works run at the same time.
        places: to be held by bulk requests that `advance` works.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.slots = limits.slots
        self._limits = limits
        self._metrics = metrics
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._less = threading.Condition(self._lock)
        self._queues = Queues(limits.slots, metrics)
        self._shedding = Shedding(limits.slots, metrics)
        self._inside = 0
        self.places = Places(limits.slots + limits.explain_queue, self._lock, self._shedding)
        self._draining = self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"candor-worker-{index}", daemon=True)
            for index in range(self.slots + 1)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self,
        function: Callable[[], T],
        model: str,
        deadline: Deadline,
        share: Share = NOBODY,
    ) -> T:
        """Call a function in a slot, before all bulk work.

        Raises:
            Overloaded: too many wait already.
            DeadlineExceeded: the deadline passed before the function was called.
            Unavailable: the workers are closed.
        """
        work = Work("interactive", model, function, deadline, share)
        return cast("T", await self._interactive(work))

    async def run_joint(
        self, joint: Joint, model: str, deadline: Deadline, share: Share = NOBODY
    ) -> Any:
        """As `run`, in one run with other work of the same key, if any waits."""
        work = Work("interactive", model, lambda: MORE, deadline, share, joint=joint)
        return await self._interactive(work)

    @contextmanager
    def spare_slot(self) -> Iterator[bool]:
        """Have a slot for the block, which takes less time than handing it to a thread would.

        Gives False, and no slot, where all are taken or somebody waits for one, after the end, and
        for a request that is traced: the threads tell of what they do.
        """
        with self._lock:
            taken = not self._closed and current() is None and self._queues.enter()
        if not taken:
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                if self._queues.leave():
                    self._more.notify()
                self._less.notify_all()

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

    async def advance(
        self,
        steps: Generator[Progress, None, T],
        observe: Callable[[Progress], T | More],
        model: str,
        share: Share = NOBODY,
        place: Place | None = None,
    ) -> T:
        """Run a bulk explainer slice by slice; its cancellation takes effect within one slice.

        Args:
            steps: the explainer; closed when the work ends, however it ends.
            observe: called in the slot after each slice; answers `MORE`, or what to stop with.
            model: for the metrics, and its share.
            share: whose it counts to.
            place: of the request that this is a part of.

        Raises:
            Unavailable: the workers are closed.
        """
        step = partial(slice_of, steps, observe)
        work = Work("bulk", model, step, Deadline(), share, steps.close, place=place)
        with self._lock:
            self._enqueue(work)
        return cast("T", await self._answer(work))

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
            work.end(None, stopping())
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _interactive(self, work: Work) -> Any:
        with self._lock:
            waiting = self._queues.n_interactive
            if waiting >= self._limits.predict_queue:
                rival = self._queues.rival(work)
                if rival is None:
                    raise self._shedding.queue_full("interactive", work.model, waiting)
                self._queues.remove(rival)
                rival.end(None, self._shedding.crowded_out("interactive", rival.model, waiting))
            self._enqueue(work)
        return await self._answer(work)

    async def _answer(self, work: Work) -> Any:
        try:
            return await work.future
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

    # With the lock held -----------------------------------------------------------------------

    def _enqueue(self, work: Work) -> None:
        if self._closed:
            raise stopping()
        self._queues.put(work)
        self._more.notify()

    def _step_aside(self, works: list[Work], seconds: float, *, more: bool) -> bool:
        """Free the slot; True if the work went back to its queue for another slice."""
        first = works[0]
        if more and not first.abandoned and not self._closed:
            self._queues.put_back(first, seconds)
            self._more.notify()
            return True
        self._queues.end(works, seconds)
        for work in works:
            self._shedding.learn(work.work_class, work.busy_s)
        self._less.notify_all()
        return False

    # In the threads ---------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not (works := self._queues.take()):
                    if self._closed:
                        return
                    self._more.wait(self._queues.wait_s())
                if self._queues.wait_s() is not None:
                    self._more.notify()  # somebody has to look after those that gather company
                # Not by name: a thread that waits would hold the last work, and its model.
                for place in (work.place for work in works if work.place is not None):
                    self.places.begin(place)
            self._perform(works)

    def _perform(self, works: list[Work]) -> None:
        outcomes, seconds = perform(works, self._metrics)
        with self._lock:
            again = self._step_aside(works, seconds, more=outcomes[0][0] is MORE)
        if not again:
            for work, (value, error) in zip(works, outcomes, strict=True):
                work.end(value, error if value is not MORE else stopping())

    def _wait_idle(self, seconds: float) -> bool:
        with self._lock:
            return self._less.wait_for(
                lambda: self._queues.idle and self._inside == 0, timeout=seconds
            )
