import asyncio

import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.joint import Joint
from candor.engine.queues import ROTATION_PER_SLOT, Queues
from candor.engine.share import Share
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
        works = self.queues.take()
        for work in works:
            work.started = True
        return self.names[works[0]] if works else None

    def slice(self, seconds=0.01):
        """Run a slice of whatever comes next, and put it back."""
        name = self.take()
        if name is not None:
            self.queues.put_back(self.work(name), seconds)
        return name

    def end(self, name, seconds=0.01):
        """End a work that runs."""
        self.queues.end([self.work(name)], seconds)

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
        floor.end(taken[-1])
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
    floor.end(first)  # one is done: the first of those who wait gets its turn
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
    floor.end("A")
    assert [floor.names[work] for work in floor.queues.remove_all()] == ["a"]
    assert floor.depth("bulk") == 0
    assert floor.queues.idle


async def test_a_work_belongs_to_the_loop_that_made_it(floor):
    floor.put("a")
    assert floor.work("a").loop is asyncio.get_running_loop()


def caller(address, connection="1", priority=2):
    return Share(address, connection, priority)


def joint(rows=1, max_rows=8, key="k", delay_s=0.0):
    return Joint(key, None, rows, max_rows, delay_s, list)


class Lanes:
    """Queues of works of several callers."""

    def __init__(self, slots=1):
        self.queues = Queues(slots, Metrics(CollectorRegistry()))

    def put(self, who, work_class="interactive", joint=None, model="m"):
        work = Work(work_class, model, lambda: None, Deadline(), who, joint=joint)
        self.queues.put(work)
        return work

    def slices(self, count):
        """Addresses of those who get the next slices, of equal length."""
        seen = []
        for _ in range(count):
            (work,) = self.queues.take()
            work.started = True
            seen.append(work.share.caller)
            self.queues.put_back(work, 0.02)
        return seen


async def test_slices_are_shared_among_callers_not_among_works():
    lanes = Lanes()
    for _ in range(ROTATION_PER_SLOT + 5):
        lanes.put(caller("flood"), "bulk")
    assert set(lanes.slices(2)) == {"flood"}
    lanes.put(caller("polite"), "bulk")  # takes turns at once, though the rotation is full
    assert lanes.slices(8).count("polite") == 4


async def test_a_free_turn_goes_to_whoever_has_fewest():
    lanes = Lanes()
    works = [lanes.put(caller("a"), "bulk") for _ in range(ROTATION_PER_SLOT + 3)]
    late = [lanes.put(caller("b"), "bulk") for _ in range(3)]
    assert [work.has_turn for work in late] == [True, False, False]
    lanes.queues.remove(works[0])
    assert [work.has_turn for work in late] == [True, False, False]  # one over the rotation left
    lanes.queues.remove(works[1])
    assert [work.has_turn for work in late] == [True, True, False]
    for work in (*works[2:], *late):
        lanes.queues.remove(work)
    assert lanes.queues.idle
    assert not lanes.queues._shares


async def test_works_of_a_kind_leave_together_up_to_the_rows_of_a_run():
    lanes = Lanes()
    first = [lanes.put(caller("a"), joint=joint(3)) for _ in range(4)]
    other = lanes.put(caller("b"), joint=joint(key="other"))
    alone = lanes.put(caller("a"))
    assert lanes.queues.take() == first[:2]  # a third one would make nine rows
    lanes.queues.end(first[:2], 0.01)
    assert lanes.queues.take() == [other]
    lanes.queues.end([other], 0.01)
    assert lanes.queues.take() == first[2:]
    lanes.queues.end(first[2:], 0.01)
    assert lanes.queues.take() == [alone]
    lanes.queues.end([alone], 0.01)
    assert lanes.queues.idle


async def test_a_run_that_is_shared_is_shared_among_callers():
    lanes = Lanes()
    flood = [lanes.put(caller("flood"), joint=joint(max_rows=4)) for _ in range(20)]
    polite = [lanes.put(caller("polite"), joint=joint(max_rows=4)) for _ in range(2)]
    assert set(lanes.queues.take()) == {*flood[:2], *polite}


async def test_one_that_fills_a_run_takes_nobody_along():
    lanes = Lanes()
    large = lanes.put(caller("a"), joint=joint(9, max_rows=8))
    lanes.put(caller("a"), joint=joint(1))
    assert lanes.queues.take() == [large]


async def test_models_and_classes_never_share_a_run():
    lanes = Lanes()
    one = lanes.put(caller("a"), joint=joint(), model="m")
    lanes.put(caller("a"), joint=joint(), model="n")
    assert lanes.queues.take() == [one]


async def test_work_that_may_wait_for_company_waits_until_there_is_enough():
    lanes = Lanes()
    works = [lanes.put(caller("a"), joint=joint(2, delay_s=3600.0)) for _ in range(3)]
    assert lanes.queues.take() == []
    assert lanes.queues.n_interactive == 3
    assert not lanes.queues.idle
    assert 3500 < lanes.queues.wait_s() <= 3600
    urgent = lanes.put(caller("a"))  # others do not wait behind those who gather
    assert lanes.queues.take() == [urgent]
    lanes.queues.end([urgent], 0.01)
    works.append(lanes.put(caller("b"), joint=joint(2, delay_s=3600.0)))
    assert lanes.queues.wait_s() is None
    assert set(lanes.queues.take()) == set(works)


async def test_work_that_has_waited_for_company_goes_without():
    lanes = Lanes()
    work = lanes.put(caller("a"), joint=joint(delay_s=3600.0))
    work.queued_at -= 3600
    assert lanes.queues.wait_s() == 0
    assert lanes.queues.take() == [work]


async def test_one_who_leaves_while_it_gathers_leaves_nothing_behind():
    lanes = Lanes()
    works = [lanes.put(caller("a"), joint=joint(delay_s=3600.0)) for _ in range(3)]
    lanes.queues.remove(works[0])
    assert lanes.queues.n_interactive == 2
    assert set(lanes.queues.remove_all()) == set(works[1:])
    assert lanes.queues.idle
    assert lanes.queues.wait_s() is None
