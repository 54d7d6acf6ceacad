import pytest

from candor.engine.joint import Joint, run_jointly
from candor.errors import InvalidInput, TooLarge


def joints(run, *items):
    return [Joint("key", item, 1, 8, 0.0, run) for item in items]


def test_pieces_are_answered_in_one_run_in_order():
    runs = []

    def run(items):
        runs.append(list(items))
        return [item * 10 for item in items]

    assert run_jointly(joints(run, 1, 2, 3)) == [(10, None), (20, None), (30, None)]
    assert runs == [[1, 2, 3]]


def test_a_failure_of_one_s_own_is_that_one_s():
    bad = InvalidInput("mine")
    found = run_jointly(joints(lambda items: [bad if i == 2 else i for i in items], 1, 2, 3))
    assert found == [(1, None), (None, bad), (3, None)]


@pytest.mark.parametrize("error", [TooLarge("together"), RuntimeError("odd"), KeyboardInterrupt()])
def test_what_fails_together_is_run_alone_and_fails_alone(error):
    def run(items):
        if len(items) > 1 or items == [2]:
            raise error
        return items

    assert run_jointly(joints(run, 1, 2, 3)) == [(1, None), (None, error), (3, None)]


def test_a_run_that_answers_too_few_is_no_answer():
    found = run_jointly(joints(lambda items: items[:1], 1, 2))
    assert found == [(1, None), (2, None)]
    ((value, error),) = run_jointly(joints(lambda items: [], 1))
    assert value is None
    assert isinstance(error, ValueError)
