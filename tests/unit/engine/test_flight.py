import asyncio

import pytest

from candor.engine.flight import Flights
from candor.errors import Cancelled, InternalError, InvalidInput


class Computation:
    """A computation that waits to be released and counts what happens to it."""

    def __init__(self, **values):
        self.values = values
        self.release = asyncio.Event()
        self.started = self.cancelled = 0

    async def __call__(self):
        self.started += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.values


async def ask(flights, key, computation):
    """What the engine does: join or launch, wait, leave."""
    seat = flights.join(key) or flights.launch([key], computation, None)[key]
    with seat:
        return await seat.result(), seat.joined


async def test_twenty_who_ask_the_same_are_answered_by_one_computation():
    flights, computation = Flights(), Computation(a=1)
    asking = [asyncio.create_task(ask(flights, "a", computation)) for _ in range(20)]
    await asyncio.sleep(0)
    computation.release.set()
    answers = await asyncio.gather(*asking)
    assert computation.started == 1
    assert [value for value, _ in answers] == [1] * 20
    assert sorted(joined for _, joined in answers) == [False] + [True] * 19
    assert len(flights) == 0


async def test_those_who_ask_something_else_fly_apart():
    flights = Flights()
    one, two = Computation(a=1), Computation(b=2)
    asking = [
        asyncio.create_task(ask(flights, "a", one)),
        asyncio.create_task(ask(flights, "b", two)),
    ]
    await asyncio.sleep(0)
    one.release.set()
    two.release.set()
    assert await asyncio.gather(*asking) == [(1, False), (2, False)]


async def test_it_goes_on_when_the_leader_leaves_and_others_wait():
    flights, computation = Flights(), Computation(a=1)
    leader = asyncio.create_task(ask(flights, "a", computation))
    await asyncio.sleep(0)
    follower = asyncio.create_task(ask(flights, "a", computation))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.wait({leader})
    assert leader.cancelled()
    computation.release.set()
    assert await follower == (1, True)
    assert computation.cancelled == 0


async def test_it_is_cancelled_when_the_last_one_leaves():
    flights, computation = Flights(), Computation(a=1)
    asking = [asyncio.create_task(ask(flights, "a", computation)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert len(flights) == 0
    await asyncio.sleep(0)
    assert computation.cancelled == 1


async def test_nobody_boards_a_flight_that_is_being_cancelled():
    flights, dying, fresh = Flights(), Computation(a="dying"), Computation(a="fresh")
    seat = flights.launch(["a"], dying, None)["a"]
    await asyncio.sleep(0)
    seat.leave()  # the task has not noticed yet
    assert flights.join("a") is None
    asking = asyncio.create_task(ask(flights, "a", fresh))
    await asyncio.sleep(0)
    fresh.release.set()
    assert await asking == ("fresh", False)
    assert dying.cancelled == 1


async def test_a_failure_reaches_everyone_and_the_next_one_starts_anew():
    flights = Flights()

    async def fail():
        await asyncio.sleep(0)
        raise InvalidInput("row is bad")

    asking = [asyncio.create_task(ask(flights, "a", fail)) for _ in range(3)]
    for task in asking:
        with pytest.raises(InvalidInput):
            await task
    computation = Computation(a=1)
    computation.release.set()
    assert await ask(flights, "a", computation) == (1, False)


async def test_the_failure_of_one_key_is_not_that_of_its_neighbour():
    flights, computation = Flights(), Computation(a=1, b=InvalidInput("b is bad"))
    seats = flights.launch(["a", "b"], computation, None)
    computation.release.set()
    assert await seats["a"].result() == 1
    with pytest.raises(InvalidInput):
        await seats["b"].result()


async def test_a_batch_flies_until_the_last_of_all_its_keys_is_left():
    flights, computation = Flights(), Computation(a=1, b=2)
    seats = flights.launch(["a", "b"], computation, None)
    await asyncio.sleep(0)
    seats["a"].leave()
    seats["a"].leave()  # twice is once
    await asyncio.sleep(0)
    assert computation.cancelled == 0
    assert "b" in flights
    computation.release.set()
    assert await seats["b"].result() == 2


async def test_a_value_that_is_missing_fails_those_who_wait_instead_of_hanging_them():
    flights, computation = Flights(), Computation(a=1)
    seats = flights.launch(["a", "b"], computation, None)
    computation.release.set()
    async with asyncio.timeout(60):
        assert await seats["a"].result() == 1
        with pytest.raises(InternalError):
            await seats["b"].result()


async def test_a_loop_that_stops_tells_those_who_wait():
    flights, computation = Flights(), Computation(a=1)
    seat = flights.launch(["a"], computation, None)["a"]
    waiting = asyncio.create_task(seat.result())
    await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if task.get_name() == "candor-flight":
            task.cancel()
    with pytest.raises(Cancelled):
        await waiting


async def test_a_key_cannot_be_launched_twice_nor_nothing_at_all():
    flights, computation = Flights(), Computation(a=1)
    seat = flights.launch(["a"], computation, None)["a"]
    with pytest.raises(ValueError, match="in flight"):
        flights.launch(["b", "a"], computation, None)
    with pytest.raises(ValueError, match="none at all"):
        flights.launch([], computation, None)
    seat.leave()


async def test_the_note_is_the_leaders():
    flights, computation = Flights(), Computation(a=1)
    seat = flights.launch(["a"], computation, "hello")["a"]
    joined = flights.join("a")
    assert joined is not None
    assert joined.note == "hello"
    seat.leave()
    joined.leave()
