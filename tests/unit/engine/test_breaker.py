from candor.engine.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def opened(clock, threshold=3):
    breaker = Breaker(threshold, cooldown_s=10, clock=clock)
    for _ in range(threshold):
        assert breaker.admits()
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker(3, clock=Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"


def test_open_it_admits_nobody_until_the_cooldown_is_over():
    clock = Clock()
    breaker = opened(clock)
    assert breaker.state == "open"
    clock.now = 7.4  # a quarter of jitter may shorten the 10 s, no more
    assert not breaker.admits()
    clock.now = 12.6
    assert breaker.state == "half_open"


def test_half_open_it_admits_one_probe_at_a_time():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 13
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_closes_it():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 13
    breaker.admits()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.admits()  # and the count begins anew


def test_one_probe_that_fails_opens_it_again_for_a_whole_cooldown():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 13
    breaker.admits()
    breaker.failed()
    assert breaker.state == "open"
    clock.now = 13 + 7.4
    assert not breaker.admits()
    clock.now = 13 + 12.6
    assert breaker.admits()


def test_cooldowns_are_spread_so_that_replicas_do_not_return_together():
    ends = set()
    for _ in range(20):
        clock = Clock()
        breaker = opened(clock)
        while breaker.state == "open":
            clock.now += 0.1
        ends.add(round(clock.now, 1))
    assert len(ends) > 5
    assert min(ends) > 7.4
    assert max(ends) < 12.7
