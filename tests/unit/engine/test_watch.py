import asyncio
import math
from types import SimpleNamespace

import numpy as np

from candor.engine.entry import Entry
from candor.engine.watch import Closing, Partial, Watch, Watcher
from candor.engine.work import MORE
from candor.explain.question import Progress
from candor.result import Attribution

PAST, NEVER = 0.0, math.inf
BEST = Attribution("lime", np.zeros(3, np.float32), {})
SAYS = ({}, None)


def best():
    return BEST


async def observed(watch, progress):
    """What a slot is told, once the loop has passed it on."""
    verdict = await asyncio.to_thread(watch.observe, SAYS, progress)
    await asyncio.sleep(0)
    return verdict


async def test_without_watchers_nothing_is_built_and_the_work_goes_on():
    built = []
    assert await observed(Watch(), Progress(1, 2, lambda: built.append(1))) is MORE
    assert built == []


async def test_the_work_stops_with_the_best_when_every_budget_is_over():
    watch = Watch()
    for _ in range(2):
        watch.join(Watcher(PAST, None))
    assert await observed(watch, Progress(1, 2, best)) == Partial(Entry(BEST, *SAYS))


async def test_nothing_known_yet_means_on_however_late_it_is():
    watch = Watch()
    watch.join(Watcher(PAST, None))
    assert await observed(watch, Progress(0, 2)) is MORE


async def test_one_gets_the_best_and_the_work_goes_on_for_the_other():
    watch, hurried, patient = Watch(), Watcher(PAST, None), Watcher(NEVER, None)
    watch.join(hurried)
    watch.join(patient)
    assert await observed(watch, Progress(1, 2, best)) is MORE
    assert hurried.partial.result() == Partial(Entry(BEST, *SAYS))
    assert not patient.partial.done()


async def test_when_the_house_closes_the_best_will_do_but_for_who_is_served_elsewhere():
    closing = Closing()
    watch, waits, moves = Watch(closing), Watcher(NEVER, None), Watcher(NEVER, None, patient=True)
    watch.join(waits)
    watch.join(moves)
    assert await observed(watch, Progress(1, 2, best)) is MORE
    assert watch.ends_at_s == NEVER
    closing.at_s = PAST
    assert await observed(watch, Progress(1, 2, best)) is MORE
    assert waits.partial.result() == Partial(Entry(BEST, *SAYS))
    assert not moves.partial.done()
    assert watch.ends_at_s == PAST
    watch.leave(moves)
    assert await observed(watch, Progress(1, 2, best)) == Partial(Entry(BEST, *SAYS))


async def test_those_who_left_are_neither_told_nor_waited_for():
    told = []
    watch, gone = Watch(), Watcher(NEVER, lambda share, partial: told.append(share))
    watch.join(gone)
    watch.join(Watcher(PAST, None))
    watch.leave(gone)
    assert await observed(watch, Progress(1, 2, best)) == Partial(Entry(BEST, *SAYS))
    assert told == []


async def test_one_who_leaves_while_the_news_is_on_its_way_is_not_told():
    told = []
    watch, gone = Watch(), Watcher(NEVER, lambda share, partial: told.append(share))
    watch.join(gone)
    watch.observe(SAYS, Progress(1, 2))  # posts to the loop, which has not run yet
    watch.leave(gone)
    await asyncio.sleep(0)
    assert told == []


async def test_progress_is_a_share_that_is_never_whole_before_the_end():
    told = []
    watch = Watch()
    watch.join(Watcher(NEVER, lambda share, partial: told.append(share)))
    for done, total in ((0, 0), (1, 4), (4, 4), (9, 4)):
        await observed(watch, Progress(done, total))
    assert told == [0.0, 0.25, 0.999, 0.999]


async def test_partial_maps_cost_a_tenth_of_the_time_at_most(monkeypatch):
    now_s, built = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now_s[0])
    monkeypatch.setattr("candor.engine.watch.time", clock)

    def dear():
        built.append(now_s[0])
        now_s[0] += 0.125
        return BEST

    watch = Watch()
    watch.join(Watcher(NEVER, lambda share, partial: None))
    while now_s[0] < 3:
        await observed(watch, Progress(1, 2, dear))
        now_s[0] += 0.0625
    # the first after a quarter of a second; the next after ten times what the last one took
    assert built == [0.25, 1.5, 2.75]


def test_a_loop_that_is_gone_does_not_hurt_the_slot():
    async def make():
        watch = Watch()
        watch.join(Watcher(NEVER, lambda share, partial: None))
        return watch

    assert asyncio.run(make()).observe(SAYS, Progress(1, 2)) is MORE
