"""Who goes next, counted in seconds that the tests make up."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor.engine.turns import _MOST_IDLE, Turns


@dataclass(eq=False)
class Piece:
    """One who waits; `path` is model, address, connection."""

    path: tuple[str, ...]
    priority: int = 2


def piece(text, priority=2):
    return Piece(tuple(text.split("/")), priority)


class Queue:
    """Turns, and what was taken of each path."""

    def __init__(self):
        self.turns = Turns()

    def put(self, text, count=1, priority=2):
        for _ in range(count):
            self.turns.put(piece(text, priority))

    def take(self, count, seconds=0.01):
        """Take some, one after the other, each for as many seconds (by path, where given)."""
        taken = []
        for _ in range(count):
            work = self.turns.take()
            name = "/".join(work.path)
            self.turns.ended(work, seconds if isinstance(seconds, float) else seconds[name])
            taken.append(name)
        return taken


def test_one_who_asks_much_waits_for_himself_alone():
    queue = Queue()
    queue.put("m/flood/1", 100)
    queue.take(10)
    queue.put("m/polite/1", 3)
    assert queue.take(6).count("m/polite/1") == 3


def test_models_share_alike_whatever_is_asked_of_each():
    queue = Queue()
    for client in range(9):
        queue.put(f"busy/{client}/1", 20)
    queue.put("quiet/0/1", 20)
    assert Counter(name.partition("/")[0] for name in queue.take(20)) == {"busy": 10, "quiet": 10}


def test_time_is_shared_not_turns():
    queue = Queue()
    queue.put("heavy/a/1", 100)
    queue.put("light/a/1", 100)
    taken = Counter(queue.take(44, {"heavy/a/1": 0.1, "light/a/1": 0.01}))
    assert taken["light/a/1"] == pytest.approx(10 * taken["heavy/a/1"], rel=0.3)


def test_many_connections_bring_no_more_than_one():
    queue = Queue()
    for connection in range(30):
        queue.put(f"m/flood/{connection}", 10)
    queue.put("m/polite/1", 10)
    assert queue.take(20).count("m/polite/1") == 10


def test_connections_of_one_address_share_alike():
    queue = Queue()
    queue.put("m/gateway/1", 100)
    queue.put("m/gateway/2", 5)
    assert queue.take(10).count("m/gateway/2") == 5


def test_a_newcomer_neither_waits_for_the_past_nor_saves_up_for_the_future():
    queue = Queue()
    queue.put("m/old/1", 200)
    queue.take(100)
    queue.put("m/new/1", 200)
    taken = queue.take(20)
    assert taken.count("m/new/1") == 10
    queue.put("m/late/1", 30)
    assert Counter(queue.take(30)) == {"m/old/1": 10, "m/new/1": 10, "m/late/1": 10}


def test_while_nothing_has_ended_each_step_that_began_counts():
    turns = Turns()
    for _ in range(3):
        turns.put(piece("m/a/1"))
        turns.put(piece("m/b/1"))
    assert [turns.take().path[1] for _ in range(6)] == ["a", "b", "a", "b", "a", "b"]


def test_one_step_of_any_length_costs_a_quarter_of_a_second_at_most():
    queue = Queue()
    queue.put("m/compiles/1", 2)
    queue.put("m/other/1", 100)
    seconds = {"m/compiles/1": 60.0, "m/other/1": 0.05}
    assert queue.take(10, seconds).count("m/compiles/1") == 2


def test_priorities_order_the_work_of_one_connection_and_of_nobody_else():
    queue = Queue()
    for priority in (3, 2, 1, 2):
        queue.put("m/a/1", priority=priority)
    queue.put("m/b/1", priority=9)
    taken = [queue.turns.take() for _ in range(5)]
    assert [work.priority for work in taken if work.path[1] == "a"] == [1, 2, 2, 3]
    assert taken[1].path[1] == "b"


def test_those_beside_come_one_of_each_connection_first():
    queue = Queue()
    queue.put("m/a/1", 3)
    queue.put("m/b/1", 2)
    queue.put("other/c/1", 2)
    first = queue.turns.take()
    beside = [work.path[1] for work in queue.turns.beside(first)]
    assert beside in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


@pytest.mark.parametrize(
    ("waiting", "newcomer", "rival"),
    [
        ({"m/a/1": 5}, "m/b/1", "m/a/1"),
        ({"m/a/1": 5}, "m/a/1", None),
        ({"m/a/1": 5}, "m/a/2", "m/a/1"),
        ({"m/a/1": 3, "m/b/1": 2}, "m/b/1", None),
        ({"m/a/1": 4, "m/b/1": 2}, "m/b/1", "m/a/1"),
        ({"m/a/1": 9, "n/b/1": 1}, "n/c/1", "m/a/1"),
        ({"m/a/1": 1, "m/a/2": 1, "m/a/3": 1}, "m/b/1", "m/a/1"),
        ({"m/a/1": 1}, "m/b/1", None),
        ({}, "m/a/1", None),
    ],
)
def test_who_makes_room(waiting, newcomer, rival):
    queue = Queue()
    for name, count in waiting.items():
        queue.put(name, count)
    found = queue.turns.rival(newcomer.split("/"))
    assert (found and "/".join(found.path)) == rival


def test_the_last_of_the_least_urgent_makes_room():
    turns = Turns()
    works = [piece("m/a/1", priority) for priority in (1, 3, 2, 3)]
    for work in works:
        turns.put(work)
    assert turns.rival(("m", "b", "1")) is works[-1]


def test_callers_who_have_gone_are_forgotten():
    queue = Queue()
    for client in range(3 * _MOST_IDLE):
        queue.put(f"m/{client}/1")
        queue.take(1)
    assert len(queue.turns._root.branches["m"].branches) <= _MOST_IDLE


PATHS = st.tuples(st.sampled_from("mn"), st.sampled_from("abc"), st.sampled_from("12"))


@given(st.lists(st.tuples(PATHS, st.integers(1, 3), st.floats(0, 1)), max_size=60), st.data())
def test_nobody_is_lost_whatever_comes_and_goes(arrivals, data):
    turns, waiting = Turns(), []
    for path, priority, seconds in arrivals:
        work = Piece(path, priority)
        turns.put(work)
        waiting.append(work)
        move = data.draw(st.sampled_from(["take", "remove", "nothing"]))
        if move == "take":
            taken = turns.take()
            turns.ended(taken, seconds)
            waiting.remove(taken)
        elif move == "remove":
            gone = data.draw(st.sampled_from(waiting))
            turns.remove(gone)
            waiting.remove(gone)
        assert len(turns) == len(waiting)
        assert set(turns) == set(waiting)
    while waiting:
        waiting.remove(turns.take())
    assert not turns
