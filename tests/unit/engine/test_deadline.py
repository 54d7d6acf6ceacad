import time

import pytest

from candor.engine.deadline import Deadline
from candor.errors import DeadlineExceeded


def test_without_a_deadline_there_is_always_time():
    deadline = Deadline.after(None)
    assert deadline.remaining_s() is None
    assert not deadline.expired
    deadline.check()


def test_a_deadline_is_a_point_in_time_and_not_a_span():
    deadline = Deadline.after(3600)
    first = deadline.remaining_s()
    time.sleep(0.01)
    second = deadline.remaining_s()
    assert first is not None
    assert second is not None
    assert 0 < second <= first - 0.01


def test_a_deadline_that_has_passed_raises_and_has_nothing_left():
    deadline = Deadline.after(-1)
    assert deadline.expired
    assert deadline.remaining_s() == 0.0
    with pytest.raises(DeadlineExceeded):
        deadline.check()
