import asyncio

import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.queues import ROTATION_PER_SLOT, Queues
from candor.engine.work import Work
from candor.metrics import Metrics


class Floor:
    """Queues with works that have names."""

    def __init__(self, slots):
        self.metrics = Metrics(CollectorRegistry())
        self.queues = Queues(slots, self.metrics)
        self.names = {}

    def put(self, *names):
        """Queue works: lower case is bulk, upper case interactive."""
        for name in names:
            work = Work("interactive" if name.isupper() else "bulk", "m", lambda: None, Deadline())
            self.names[work] = name
            self.queues.put(work)

    def work(self, name):
        return next(work for work, known in self.names.items() if known == name)

    def take(self):
        """The name of the work that runs next."""
        work = self.queues.take()
        if work is None:
            return None
        work.started = True
        return self.names[work]

    def slice(self):
        """Run a slice of whatever comes next, and put it back."""
        name = self.take()
        if name is not None:
            self.queues.put_back(self.work(name))
        return name

    def depth(self, work_class):
        labels = {"model": "m", "class": work_class}
        return self.metrics.registry.get_sample_value("candor_queue_depth", labels) or 0


@pytest.fixture
async def floor():
    return Floor(slots=1)


async def test_interactive_work_goes_before_bulk_work_in_order_of_arrival(floor):
    floor.put("a", "A", "b", "B")
    taken = []
    for _ in range(4):
        taken.append(floor.take())
        floor.queues.end(floor.work(taken[-1]))
    assert taken == ["A", "B", "a", "b"]


async def test_bulk_works_take_turns(floor):
    floor.put("a", "b", "c")
    assert [floor.slice() for _ in range(7)] == list("abcabca")


async def test_a_newcomer_takes_its_turn_behind_those_who_wait_already(floor):
    floor.put("a", "b")
    assert floor.slice() == "a"
    floor.put("c")
    assert [floor.slice() for _ in range(4)] == ["b", "a", "c", "b"]


async def test_interactive_work_comes_in_between_two_slices(floor):
    floor.put("a")
    assert floor.slice() == "a"
    floor.put("A")
    assert floor.take() == "A"


async def test_only_so_many_take_turns_and_the_others_wait_in_order(floor):
    names = [chr(ord("a") + number) for number in range(ROTATION_PER_SLOT + 2)]
    floor.put(*names)
    turns = names[:ROTATION_PER_SLOT]
    assert [floor.slice() for _ in range(2 * ROTATION_PER_SLOT)] == turns * 2
    first = floor.take()
    floor.queues.end(floor.work(first))  # one is done: the first of those who wait gets its turn
    assert [floor.slice() for _ in range(ROTATION_PER_SLOT)] == [
        *turns[1:],
        names[ROTATION_PER_SLOT],
    ]


async def test_one_who_goes_away_gives_its_turn_to_one_who_waits(floor):
    names = [chr(ord("a") + number) for number in range(ROTATION_PER_SLOT + 1)]
    floor.put(*names)
    floor.queues.remove(floor.work("b"))
    assert [floor.slice() for _ in range(ROTATION_PER_SLOT)] == [
        name for name in names if name != "b"
    ]


async def test_no_slice_starts_while_as_many_run_as_there_are_slots():
    floor = Floor(slots=2)
    floor.put("a", "b", "c", "A")
    assert floor.take() == "A"
    assert floor.take() == "a"
    assert floor.take() is None


async def test_interactive_work_starts_beside_slots_full_of_slices():
    floor = Floor(slots=2)
    floor.put("a", "b")
    assert [floor.take(), floor.take()] == ["a", "b"]
    floor.put("A", "B", "C")
    assert [floor.take(), floor.take(), floor.take()] == ["A", "B", None]


async def test_depths_go_up_and_come_down(floor):
    floor.put("a", "b", "A")
    assert (floor.depth("bulk"), floor.depth("interactive")) == (2, 1)
    floor.take()
    assert (floor.depth("bulk"), floor.depth("interactive")) == (2, 0)
    floor.queues.remove(floor.work("b"))
    assert floor.depth("bulk") == 1
    assert not floor.queues.idle
    floor.queues.end(floor.work("A"))
    assert [floor.names[work] for work in floor.queues.remove_all()] == ["a"]
    assert floor.depth("bulk") == 0
    assert floor.queues.idle


async def test_a_work_belongs_to_the_loop_that_made_it(floor):
    floor.put("a")
    assert floor.work("a").loop is asyncio.get_running_loop()
