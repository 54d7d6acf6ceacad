import asyncio
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.work import MORE
from candor.engine.workers import Limits, Workers
from candor.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from candor.explain.question import Progress
from candor.metrics import Metrics
from unit.engine.builders import gauges

NEVER = Deadline()


class Floor:
    """Workers, and works that write down what they do."""

    def __init__(self, **limits):
        self.metrics = Metrics(CollectorRegistry())
        self.workers = Workers(Limits(**{"slots": 1, **limits}), self.metrics)
        self.log = []
        self.threads = set()
        self.gate = threading.Event()

    def run(self, name, deadline=NEVER, wait=False):
        def function():
            self.threads.add(threading.current_thread().name)
            self.log.append(name)
            if wait:
                assert self.gate.wait(60)
            return name

        return asyncio.ensure_future(self.workers.run(function, "m", deadline))

    def steps(self, name, n, wait=None, seconds=0.0):
        try:
            for index in range(n):
                self.log.append(f"{name}{index}")
                if wait is not None and index == 0:
                    assert wait.wait(60)
                time.sleep(seconds)
                yield Progress(index + 1, n)
            return name
        finally:
            self.log.append(f"{name} closed")

    def advance(self, name, n, observe=lambda progress: MORE, **how):
        return asyncio.ensure_future(self.workers.advance(self.steps(name, n, **how), observe, "m"))

    async def logged(self, entry):
        async with asyncio.timeout(60):
            while entry not in self.log:
                await asyncio.sleep(0.001)

    async def depth(self, work_class, expected):
        labels = {"model": "m", "class": work_class}
        async with asyncio.timeout(60):
            while self.sample("candor_queue_depth", **labels) != expected:
                await asyncio.sleep(0.001)

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels) or 0


@pytest.fixture
async def floor():
    made = Floor()
    yield made
    made.gate.set()
    await made.workers.close()
    assert gauges(made.metrics) == {}


async def test_functions_run_off_the_event_loop_and_their_value_comes_back(floor):
    assert await floor.run("a") == "a"
    assert threading.current_thread().name not in floor.threads


async def test_what_a_function_raises_travels_to_the_caller(floor):
    def fail():
        raise InvalidInput("row 3 is bad")

    with pytest.raises(InvalidInput, match="row 3"):
        await floor.workers.run(fail, "m", NEVER)
    assert await floor.run("next") == "next"


@pytest.mark.parametrize("error", [StopIteration(7), KeyboardInterrupt(), SystemExit(3)])
async def test_not_even_odd_exceptions_end_a_thread(floor, error):
    def fail():
        raise error

    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await floor.workers.run(fail, "m", NEVER)
    assert isinstance(caught.value, type(error) | RuntimeError)
    assert await floor.run("next") == "next"


async def test_a_generator_is_advanced_to_its_return_value(floor):
    assert await floor.advance("g", 3) == "g"
    assert floor.log == ["g0", "g1", "g2", "g closed"]


async def test_what_a_generator_raises_travels_to_the_caller(floor):
    def fail():
        yield Progress(1, 2)
        raise InvalidInput("bad")

    with pytest.raises(InvalidInput):
        await floor.workers.advance(fail(), lambda progress: MORE, "m")


async def test_what_an_observer_raises_ends_the_work_and_closes_it(floor):
    def observe(progress):
        raise InvalidInput("seen")

    with pytest.raises(InvalidInput, match="seen"):
        await floor.advance("g", 3, observe)
    assert floor.log == ["g0", "g closed"]


async def test_an_observer_can_stop_a_work_with_a_value(floor):
    def observe(progress):
        return MORE if progress.done < 2 else "enough"

    assert await floor.advance("g", 9, observe) == "enough"
    assert floor.log == ["g0", "g1", "g closed"]


async def test_a_generator_whose_end_fails_says_so_and_harms_nobody(floor):
    def stubborn():
        try:
            yield Progress(1, 2)
        finally:
            raise InvalidInput("at the end")

    with pytest.raises(InvalidInput, match="at the end"):
        await floor.workers.advance(stubborn(), lambda progress: "stop", "m")
    assert await floor.run("next") == "next"


async def test_bulk_works_share_fairly(floor):
    first = threading.Event()
    works = [floor.advance("a", 3, wait=first), floor.advance("b", 3), floor.advance("c", 3)]
    await floor.depth("bulk", 2)
    first.set()
    await asyncio.gather(*works)
    assert [entry for entry in floor.log if "closed" not in entry] == [
        *("a0", "b0", "c0"),
        *("a1", "b1", "c1"),
        *("a2", "b2", "c2"),
    ]


async def test_interactive_work_overtakes_bulk_work_at_the_next_slice(floor):
    # Fill the one slot and the spare thread, queue bulk and then interactive work.
    slice_ends = threading.Event()
    bulk = [floor.advance("a", 4, wait=slice_ends), floor.advance("b", 4)]
    await floor.logged("a0")
    held = floor.run("held", wait=True)
    await floor.logged("held")
    late = floor.run("late")
    await floor.depth("interactive", 1)
    slice_ends.set()
    floor.gate.set()
    await asyncio.gather(*bulk, held, late)
    assert floor.log.index("late") < floor.log.index("a1")


async def test_interactive_work_does_not_even_wait_for_the_slice_that_runs(floor):
    slice_ends = threading.Event()
    bulk = floor.advance("a", 2, wait=slice_ends)
    await floor.logged("a0")
    assert await floor.run("now") == "now"  # on the spare thread
    assert "a1" not in floor.log
    slice_ends.set()
    await bulk


async def test_a_full_predict_queue_refuses_with_a_hint(floor):
    floor.workers._limits = Limits(slots=1, predict_queue=2)
    held = floor.run("held", wait=True)
    await floor.logged("held")
    waiting = [floor.run("a"), floor.run("b")]
    await floor.depth("interactive", 2)
    with pytest.raises(Overloaded, match="2 predictions are waiting") as caught:
        await floor.run("c")
    assert 0.05 <= caught.value.retry_after_s <= 60
    assert (
        floor.sample(
            "candor_shed_total", model="m", reason="queue_full", **{"class": "interactive"}
        )
        == 1
    )
    floor.gate.set()
    await asyncio.gather(held, *waiting)
    assert "c" not in floor.log


async def test_places_for_bulk_requests_run_out_and_are_given_back(floor):
    floor.workers.places._limit = 2
    place = floor.workers.places.enter
    with place("m"):
        with place("m"), pytest.raises(Overloaded, match="2 long explanations"), place("m"):
            pass
        with place("m"):
            pass
    assert (
        floor.sample("candor_shed_total", model="m", reason="queue_full", **{"class": "bulk"}) == 1
    )


async def test_bulk_overload_leaves_predictions_alone(floor):
    floor.workers.places._limit = 1
    with floor.workers.places.enter("m"):
        assert await floor.run("a") == "a"


async def test_the_hint_grows_with_what_work_has_cost(floor):
    def slow():
        time.sleep(0.1)

    cheap = floor.workers._shedding.queue_full("interactive", "m", 10).retry_after_s
    await floor.workers.run(slow, "m", NEVER)
    assert floor.workers._shedding.queue_full("interactive", "m", 10).retry_after_s > cheap


async def test_work_past_its_deadline_is_dropped_before_it_runs(floor):
    held = floor.run("held", wait=True)
    await floor.logged("held")
    late = floor.run("late", Deadline.after(0.01))
    await floor.depth("interactive", 1)
    await asyncio.sleep(0.02)
    floor.gate.set()
    with pytest.raises(DeadlineExceeded):
        await late
    await held
    assert "late" not in floor.log
    assert (
        floor.sample("candor_shed_total", model="m", reason="deadline", **{"class": "interactive"})
        == 1
    )


async def test_cancelled_work_leaves_the_queue_at_once(floor):
    held = floor.run("held", wait=True)
    await floor.logged("held")
    waiting = floor.run("waiting")
    await floor.depth("interactive", 1)
    waiting.cancel()
    await floor.depth("interactive", 0)
    floor.gate.set()
    await held
    assert "waiting" not in floor.log


async def test_cancellation_stops_a_bulk_work_within_one_slice_and_closes_it(floor):
    slice_ends = threading.Event()
    work = floor.advance("a", 1000, wait=slice_ends)
    await floor.logged("a0")
    work.cancel()
    await asyncio.wait({work})
    assert work.cancelled()
    slice_ends.set()
    await floor.logged("a closed")
    assert floor.log == ["a0", "a closed"]


async def test_cancellation_between_two_slices_closes_at_once(floor):
    first = threading.Event()
    one = floor.advance("a", 2, wait=first)
    two = floor.advance("b", 2)
    await floor.depth("bulk", 1)
    two.cancel()
    await asyncio.wait({two})
    assert "b0" not in floor.log
    assert await floor.workers.run(lambda: "free", "m", NEVER) == "free"
    first.set()
    await one


async def test_waiting_times_are_recorded_once_a_work(floor):
    await floor.advance("a", 5)
    await floor.run("b")
    for work_class in ("bulk", "interactive"):
        labels = {"model": "m", "class": work_class}
        assert floor.sample("candor_queue_seconds_count", **labels) == 1


async def test_slots_run_at_the_same_time():
    floor = Floor(slots=2)
    both = threading.Barrier(2, timeout=60)
    run = floor.workers.run
    await asyncio.gather(run(both.wait, "m", NEVER), run(both.wait, "m", NEVER))
    await floor.workers.close()


async def test_draining_waits_for_what_is_inside_and_refuses_new_bulk_requests(floor):
    with floor.workers.inside("m", "bulk"):
        assert not await floor.workers.drain(0.02)
        with pytest.raises(Unavailable, match="stopping"), floor.workers.inside("m", "bulk"):
            pass
        with floor.workers.inside("m", "interactive"):
            assert await floor.run("still") == "still"
        assert await floor.advance("begun", 2) == "begun"
        draining = asyncio.create_task(floor.workers.drain(60))
        await asyncio.sleep(0.02)
        assert not draining.done()
    assert await draining
    assert floor.sample("candor_shed_total", model="m", reason="draining", **{"class": "bulk"}) == 1


async def test_closing_fails_what_waits_and_what_is_between_two_slices(floor):
    slice_ends = threading.Event()
    running = floor.advance("a", 1000, wait=slice_ends)
    await floor.logged("a0")
    queued = floor.advance("b", 1000)
    await floor.depth("bulk", 1)
    closing = asyncio.create_task(floor.workers.close())
    with pytest.raises(Unavailable):
        await queued
    slice_ends.set()
    with pytest.raises(Unavailable):
        await running
    await closing
    assert floor.log == ["a0", "b closed", "a closed"] or floor.log == ["a0", "a closed"]
    with pytest.raises(Unavailable):
        await floor.run("late")
    assert not any(thread.is_alive() for thread in floor.workers._threads)


async def test_a_function_that_runs_when_the_workers_close_still_answers(floor):
    held = floor.run("held", wait=True)
    await floor.logged("held")
    closing = asyncio.create_task(floor.workers.close())
    await asyncio.sleep(0.01)
    floor.gate.set()
    assert await held == "held"
    await closing


def test_works_of_several_event_loops_share_the_threads():
    async def build():
        return Floor(slots=2)

    floor = asyncio.run(build())
    answers = []

    def caller(number):
        async def ask():
            return await asyncio.gather(*(floor.run(f"{number}-{turn}") for turn in range(50)))

        answers.append(asyncio.run(ask()))

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, answers)) == [50] * 4
    asyncio.run(floor.workers.close())


def test_a_loop_that_is_closed_while_its_work_runs_harms_nobody():
    floor = Floor()
    loop = asyncio.new_event_loop()

    async def begin():
        task = floor.run("gone", wait=True)
        await floor.logged("gone")
        return task

    task = loop.run_until_complete(begin())
    task.cancel()
    loop.run_until_complete(asyncio.wait({task}))
    loop.close()
    floor.gate.set()

    async def go_on():
        assert await floor.run("next") == "next"
        await floor.workers.close()

    asyncio.run(go_on())
