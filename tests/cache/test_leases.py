"""A long explanation that two replicas are asked for at the same time is computed once."""

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from cache.redis_server import proxy
from cache.tier import SHORT_S, locking_rig
from candor.engine.deadline import Deadline
from candor.engine.digest import SCHEMA
from candor.errors import InternalError
from candor.explain.options import Gradient, Lime
from unit.engine.builders import LinearModel, explain_request, rig, until

NEVER = Deadline()
REQUEST = explain_request(Lime(n_samples=200))


def held(hold: threading.Event) -> LinearModel:
    """A model whose long explanations stand still in the middle until they may go on."""
    return LinearModel(hold=hold, holds="perturb")


def answer(explanation):
    (((only,),),) = explanation.answers
    return only


async def alone(request=REQUEST) -> int:
    """Rows that one perturbs who has nobody to share with."""
    async with rig() as house:
        await house.engine.explain(request, NEVER)
        assert sampled(house) > 10
        return sampled(house)


def sampled(*houses) -> int:
    """Rows that were perturbed, in all replicas together."""
    return sum(rows for house in houses for name, rows in house.model.calls if name == "perturb")


def locks(house) -> dict[str, float]:
    """How often the lock came to what."""
    outcomes = ("computed", "waited", "took_over", "hurried", "unreachable")
    counts = {each: house.value("candor_cache_locks_total", outcome=each) for each in outcomes}
    return {each: count for each, count in counts.items() if count}


def locked(server) -> int:
    with server.client() as client:
        return len(client.keys("candor:*:lock:*"))


async def begun(house) -> None:
    """Wait until it computes."""
    async with asyncio.timeout(60):
        while not sampled(house):
            await asyncio.sleep(0.005)


async def waiting(house) -> None:
    """Wait until it has asked for the lock."""
    await until(lambda: lock_asked(house) > 0)


def lock_asked(house) -> float:
    return house.value("candor_cache_seconds_count", tier="redis", op="lock")


async def unlocked(server) -> None:
    async with asyncio.timeout(60):
        while locked(server):
            await asyncio.sleep(0.01)


async def test_one_computes_and_all_others_wait_for_its_answer(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold)) as one,
        locking_rig(server.url, held(hold)) as two,
        locking_rig(server.url, held(hold)) as three,
    ):
        houses = (one, two, three)
        asking = [asyncio.create_task(h.engine.explain(REQUEST, NEVER)) for h in houses]
        for house in houses:
            await waiting(house)
        hold.set()
        found = await asyncio.gather(*asking)
        assert sampled(*houses) == await alone()
        assert sorted(answer(each).cache for each in found) == ["coalesced", "coalesced", "miss"]
        for each in found[1:]:
            np.testing.assert_array_equal(
                answer(each).attribution.values, answer(found[0]).attribution.values
            )
            np.testing.assert_array_equal(
                each.prediction.scores.probability, found[0].prediction.scores.probability
            )
        assert sorted(str(locks(house)) for house in houses) == [
            "{'computed': 1.0}", "{'waited': 1.0}", "{'waited': 1.0}",
        ]  # fmt: skip
        await unlocked(server)


async def test_a_lease_is_renewed_for_as_long_as_it_takes(server):
    hold, lease_s = threading.Event(), 3.0
    async with (
        locking_rig(server.url, held(hold), lease_s=lease_s) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        second = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
        await waiting(two)
        await asyncio.sleep(1.5 * lease_s)
        assert not second.done()
        hold.set()
        await asyncio.gather(first, second)
        assert sampled(one, two) == await alone()
        assert locks(two) == {"waited": 1}


async def test_a_holder_that_fails_gives_the_lease_back_at_once(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold), lease_s=3600) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        second = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
        await waiting(two)
        one.model.fail = InternalError("broken in the middle")
        hold.set()
        with pytest.raises(InternalError):
            await first
        await begun(two)
        assert answer(await second).cache == "miss"
        assert locks(two) == {"took_over": 1}


async def test_a_holder_whose_last_caller_leaves_gives_the_lease_back(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold), lease_s=3600) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        second = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
        await waiting(two)
        first.cancel()
        assert answer(await second).cache == "miss"
        hold.set()
        assert locks(two) == {"took_over": 1}
        await unlocked(server)


async def test_one_who_leaves_while_it_waits_disturbs_nobody(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold)) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        second = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
        await waiting(two)
        second.cancel()
        await asyncio.wait({second})
        assert locked(server) == 1
        hold.set()
        assert answer(await first).cache == "miss"
        assert sampled(one, two) == await alone()
        assert not locks(two)


async def test_a_lease_that_ran_out_with_its_holder_is_taken_over(server):
    async with locking_rig(server.url, LinearModel(), lease_s=3600) as two:
        first = await two.engine.explain(REQUEST, NEVER)
        await until(lambda: lock_asked(two) == 2)  # its release is asked later
        with server.client() as client:
            client.flushall()
            # As left behind by one who was killed.
            left = f"candor:tests:{SCHEMA}:lock:{answer(first).key}"
            client.set(left, "theirs")
            two.memory.forget(answer(first).key)
            asking = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
            await until(lambda: lock_asked(two) > 2)
            client.pexpire(left, 1)
        again = await asking
        assert answer(again).cache == "miss"
        assert locks(two) == {"computed": 1, "took_over": 1}


async def test_who_has_little_time_computes_for_itself(server):
    """It knows how long that takes, and waits only while twice that is left."""
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold)) as one,
        locking_rig(server.url, LinearModel(slice_s=0.12)) as two,
    ):
        began_at = time.monotonic()
        await two.engine.explain(explain_request(Lime(n_samples=200, seed=7)), NEVER)
        takes_s = time.monotonic() - began_at
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        before = sampled(two)
        hurried = replace(REQUEST, budget_s=takes_s)
        second = asyncio.create_task(two.engine.explain(hurried, NEVER))
        async with asyncio.timeout(60):
            while sampled(two) == before:
                await asyncio.sleep(0.005)
        hold.set()
        assert locks(two) == {"computed": 1, "hurried": 1}
        await asyncio.gather(first, second)


async def test_who_has_time_enough_waits(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold)) as one,
        locking_rig(server.url, LinearModel(), lease_s=3600) as two,  # never renewed here
    ):
        await two.engine.explain(explain_request(Lime(n_samples=200, seed=7)), NEVER)
        await until(lambda: lock_asked(two) == 2)  # its release is asked later
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        patient = replace(REQUEST, budget_s=3600)
        second = asyncio.create_task(two.engine.explain(patient, Deadline.after(3600)))
        await until(lambda: lock_asked(two) > 2)
        hold.set()
        assert answer(await second).cache == "coalesced"
        assert locks(two) == {"computed": 1, "waited": 1}
        await first


async def test_redis_that_dies_meanwhile_is_not_waited_for(server):
    hold = threading.Event()
    async with (
        locking_rig(server.url, held(hold)) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        first = asyncio.create_task(one.engine.explain(REQUEST, NEVER))
        await begun(one)
        second = asyncio.create_task(two.engine.explain(REQUEST, NEVER))
        await waiting(two)
        server.kill()
        hold.set()
        found = [answer(await asked) for asked in (first, second)]
        assert [each.cache for each in found] == ["miss", "miss"]
        np.testing.assert_array_equal(*(each.attribution.values for each in found))
        assert locks(two) == {"unreachable": 1}
        assert sampled(one, two) == 2 * await alone()


async def test_redis_that_falls_silent_meanwhile_is_not_waited_for(server):
    async with (
        proxy(server.port) as hole,
        locking_rig(hole.url, LinearModel(), timeout_s=SHORT_S) as house,
    ):
        hole.delay_s = None
        for seed in range(5):
            request = explain_request(Lime(n_samples=20, seed=seed))
            assert answer(await house.engine.explain(request, NEVER)).cache == "miss"
        assert locks(house) == {"unreachable": 5}


@pytest.mark.parametrize("policy", ["refresh", "bypass"])
async def test_who_does_not_want_what_others_have_asks_for_no_lease(server, policy):
    async with (
        locking_rig(server.url, LinearModel()) as one,
        locking_rig(server.url, LinearModel()) as two,
    ):
        request = explain_request(Lime(n_samples=20), cache=policy)
        await asyncio.gather(*(h.engine.explain(request, NEVER) for h in (one, two)))
        assert sampled(one, two) == 2 * await alone(request)
        assert not locks(one)
        assert not locks(two)


async def test_short_explanations_and_fresh_seeds_ask_for_no_lease(server):
    async with locking_rig(server.url, LinearModel()) as house:
        await house.engine.explain(explain_request(Gradient()), NEVER)
        await house.engine.explain(explain_request(Lime(n_samples=20, seed=-1)), NEVER)
        assert not locks(house)
