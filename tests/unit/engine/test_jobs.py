"""Jobs of one server: their life, their limits, their turns."""

import asyncio
import dataclasses
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor.engine.deadline import Deadline
from candor.engine.jobs import memory
from candor.engine.jobs.codec import (
    SCHEMA,
    decode_answer,
    decode_job,
    encode_answer,
    encode_job,
)
from candor.engine.jobs.memory import Bounds
from candor.engine.jobs.record import Failure, Job, checked_id, job_key
from candor.engine.jobs.turnstile import Ticket, Turnstile
from candor.engine.sealed import Malformed, seal
from candor.engine.workers import Limits
from candor.errors import (
    InvalidInput,
    InvalidOption,
    NotFound,
    Overloaded,
    Unavailable,
    Unsupported,
)
from candor.explain.options import Gradient, Lime
from unit.engine.builders import (
    IDENTITY,
    SECRET,
    Doled,
    LinearModel,
    explain_request,
    rig,
    rows,
    until,
)
from unit.engine.job_builders import SLICES, ask, ended, job_house, long_request


async def test_a_job_gives_what_an_explanation_gives_byte_for_byte():
    request = explain_request(Gradient(), Lime(100), x=rows(3), cache="bypass")
    async with rig() as built, job_house(built) as jobs:
        job = await ask(jobs, built, request=request)
        assert (job.state, job.progress, job.methods) == ("queued", 0.0, ("gradient", "lime"))
        job = await ended(jobs)
        assert (job.state, job.progress, job.failure) == ("succeeded", 1.0, None)
        assert job.submitted_at <= job.started_at <= job.ended_at < job.expires_at
        explanation = await built.engine.explain(request, Deadline())
        values = [a.attribution.values for of in explanation.answers for row in of for a in row]
        found, answer = await jobs.fetch("", "job")
        assert found == job
        assert answer == b"".join(each.tobytes() for each in values)
        assert built.value("candor_jobs", state="running") == 0
        assert built.value("candor_jobs", state="queued") == 0
        assert built.value("candor_jobs_ended_total", state="succeeded") == 1


async def test_cancelling_stops_the_work_within_a_slice():
    model = LinearModel(slice_s=0.01)
    async with rig(model, limits=Limits(slots=1)) as built, job_house(built) as jobs:
        await ask(jobs, built, request=long_request())
        await until(lambda: built.model.n_calls("path") >= 3)
        job = await jobs.cancel("", "job")
        assert job.state == "cancelled"
        assert job.failure == Failure("Cancelled", "the job was cancelled")
        calls = built.model.n_calls("path")
        # Another explanation gets the slot as soon as the slice that ran is over.
        await built.engine.explain(explain_request(), Deadline())
        assert built.model.n_calls("path") <= calls + 1 < SLICES
        assert (await jobs.cancel("", "job")) == job


async def test_what_is_cancelled_before_its_turn_is_never_run():
    hold = threading.Event()
    async with rig(LinearModel(hold=hold)) as built, job_house(built) as jobs:
        await ask(jobs, built, job_id="first")
        await ask(jobs, built, job_id="second", request=explain_request(x=rows(1, 9)))
        assert (await jobs.find("", "second")).state == "queued"
        assert (await jobs.cancel("", "second")).state == "cancelled"
        hold.set()
        assert (await ended(jobs, "first")).state == "succeeded"
        assert built.model.n_calls("gradient") == 1


async def test_progress_rises_and_has_what_there_is_so_far():
    async with rig(LinearModel(slice_s=0.005)) as built, job_house(built) as jobs:
        await ask(jobs, built, request=long_request(n_slices=200))
        seen = []
        reports = []
        async for job in jobs.watch("", "job"):
            seen.append(job.progress)
            reports += jobs.reports("", "job")
        assert seen == sorted(seen)
        assert any(0 < progress < 1 for progress in seen)
        assert seen[-1] == 1
        assert {report.method for report in reports} == {"integrated_gradients"}
        assert any(report.partial is not None for report in reports)
        assert jobs.reports("", "job") == ()


async def test_the_same_request_under_the_same_id_is_one_job():
    async with rig() as built, job_house(built) as jobs:
        asking = [ask(jobs, built) for _ in range(5)]
        found = await asyncio.gather(*asking)
        assert len({job.submitted_at for job in found}) == 1
        done = await ended(jobs)
        assert await ask(jobs, built) == done
        assert built.model.n_calls("gradient") == 1
        with pytest.raises(InvalidOption, match="'job' was submitted before, with another"):
            await ask(jobs, built, request=explain_request(x=rows(1, 5)))


async def test_nobody_knows_of_anothers_job():
    async with rig() as built, job_house(built) as jobs:
        await ask(jobs, built, tenant="one")
        await ended(jobs, tenant="one")
        for other in ("", "two"):
            with pytest.raises(NotFound, match="'job'"):
                await jobs.find(other, "job")
            with pytest.raises(NotFound):
                await jobs.cancel(other, "job")
            assert await jobs.list(other, 10) == ([], True)
            assert jobs.reports(other, "job") == ()
        theirs = await ask(jobs, built, tenant="two", request=explain_request(x=rows(1, 3)))
        assert theirs.state == "queued"
        assert [job.tenant for job in (await jobs.list("one", 10))[0]] == ["one"]
        await ended(jobs, tenant="two")


async def test_a_job_fails_as_an_explanation_would():
    async with rig() as built, job_house(built) as jobs:
        await ask(jobs, built, request=explain_request(x=np.full((1, 6), np.nan, np.float32)))
        job = await ended(jobs)
        assert (job.state, job.failure.name) == ("failed", "InvalidInput")
        with pytest.raises(InvalidInput) as caught:
            await built.engine.explain(
                explain_request(x=np.full((1, 6), np.nan, np.float32)), Deadline()
            )
        assert job.failure.message == str(caught.value)


async def test_a_defect_is_no_answer_and_tells_nothing():
    async with rig(LinearModel(fail=RuntimeError("secret"))) as built, job_house(built) as jobs:
        await ask(jobs, built)
        job = await ended(jobs)
        assert (job.state, job.failure) == ("failed", Failure("InternalError", ""))


async def test_a_full_house_makes_a_job_late_and_not_lost():
    limits, model = Limits(slots=1, explain_queue=0), LinearModel(hold=Doled(), holds="path")
    async with rig(model, limits=limits) as built, job_house(built) as jobs:
        there = asyncio.create_task(
            built.engine.explain(long_request(seed=1, n_slices=20), Deadline())
        )
        await until(lambda: model.n_calls("path") > 0)
        await ask(jobs, built, request=long_request(n_slices=3))
        labels = {"model": "linear", "reason": "queue_full", "class": "bulk"}
        await until(lambda: built.value("candor_shed_total", **labels))
        model.hold.let(100)
        assert (await ended(jobs)).state == "succeeded"
        await there


async def test_limits_are_told_and_a_flood_shuts_nobody_else_out():
    hold = threading.Event()
    bounds = Bounds(jobs=2, size_bytes=1 << 20, ttl_s=60.0)
    async with rig(LinearModel(hold=hold)) as built, job_house(built, bounds=bounds) as jobs:
        for number in range(2):
            request = explain_request(x=rows(1, number))
            await ask(jobs, built, job_id=f"{number}", caller="flood", request=request)
        with pytest.raises(Overloaded, match=r"2 jobs wait or run .* job_limit, 2") as caught:
            await ask(jobs, built, job_id="more", caller="flood")
        assert caught.value.retry_after_s > 0
        assert (await ask(jobs, built, job_id="mine", caller="other")).state == "queued"
        with pytest.raises(Overloaded, match="job_memory_bytes, 1048576"):
            await ask(jobs, built, job_id="big", caller="third", size_bytes=1 << 20)
        assert built.value("candor_jobs", state="running") == 1
        assert built.value("candor_jobs", state="queued") == 2
        hold.set()
        await ended(jobs, "mine")


async def test_a_server_may_take_on_none_at_all():
    bounds = Bounds(jobs=0, size_bytes=1 << 20, ttl_s=60.0)
    async with rig() as built, job_house(built, bounds=bounds) as jobs:
        with pytest.raises(Unsupported, match="job_limit is 0"):
            await ask(jobs, built)


async def test_answers_make_room_for_newer_ones():
    bounds = Bounds(jobs=2, size_bytes=20_000, ttl_s=60.0)
    async with rig() as built, job_house(built, bounds=bounds) as jobs:
        for number in range(12):
            request = explain_request(x=rows(20, number))
            await ask(jobs, built, job_id=f"{number}", request=request)
            await ended(jobs, f"{number}")
        kept = [job.id for job in (await jobs.list("", 100))[0]]
        assert kept == [str(number) for number in range(11, 11 - len(kept), -1)]
        assert 2 < len(kept) < 12
        with pytest.raises(NotFound):
            await jobs.find("", "0")


async def test_a_job_is_forgotten_when_its_time_is_over(monkeypatch):
    passed = []
    clock = SimpleNamespace(time=lambda: time.time() + sum(passed))
    monkeypatch.setattr(memory, "time", clock)
    bounds = Bounds(jobs=2, size_bytes=1 << 20, ttl_s=3600.0)
    async with rig() as built, job_house(built, bounds=bounds) as jobs:
        await ask(jobs, built)
        await ended(jobs)
        assert (await jobs.find("", "job")).state == "succeeded"
        passed.append(3600)
        with pytest.raises(NotFound):
            await jobs.find("", "job")
        assert await jobs.list("", 10) == ([], True)


async def test_draining_ends_what_runs_and_says_so_of_the_rest():
    hold = threading.Event()
    async with rig(LinearModel(hold=hold)) as built, job_house(built) as jobs:
        await ask(jobs, built, job_id="runs")
        await ask(jobs, built, job_id="waits", request=explain_request(x=rows(1, 2)))
        await until(lambda: built.model.n_calls() == 1)
        draining = asyncio.create_task(jobs.drain(30))
        waits = await ended(jobs, "waits")
        assert waits.state == "lost"
        assert "stopped before it was done; submitted again" in waits.failure.message
        with pytest.raises(Unavailable, match="takes on no jobs"):
            await ask(jobs, built, job_id="late")
        hold.set()
        await draining
        assert (await jobs.find("", "runs")).state == "succeeded"


async def test_what_does_not_end_while_draining_is_lost():
    async with rig(LinearModel(slice_s=0.01)) as built, job_house(built) as jobs:
        await ask(jobs, built, request=long_request())
        await until(lambda: built.model.n_calls("path") > 0)
        await jobs.drain(0.01)
        assert (await jobs.find("", "job")).state == "lost"
        assert built.value("candor_jobs_ended_total", state="lost") == 1


async def test_who_hangs_up_while_submitting_has_submitted():
    async with rig() as built, job_house(built) as jobs:
        asking = asyncio.create_task(ask(jobs, built))
        await asyncio.sleep(0)
        asking.cancel()
        assert (await ended(jobs)).state == "succeeded"


# Turns -------------------------------------------------------------------------------------------


async def entered(turnstile, order, name, ticket, gate):
    async with turnstile.turn(ticket):
        order.append(name)
        await gate.wait()


async def test_callers_take_turns_and_priority_orders_each_ones_own():
    turnstile, order, gate = Turnstile(1), [], asyncio.Event()
    gate.set()
    tickets = {
        "a1": Ticket("a", 2), "a2": Ticket("a", 2), "a3": Ticket("a", 1),
        "b1": Ticket("b", 2), "b2": Ticket("b", 2), "c1": Ticket("c", 9),
    }  # fmt: skip
    async with turnstile.turn(Ticket("z", 2)):
        tasks = [
            asyncio.create_task(entered(turnstile, order, name, ticket, gate))
            for name, ticket in tickets.items()
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert [name for name in order if name[0] == "a"] == ["a3", "a1", "a2"]
    assert {name[0] for name in order[:3]} == {"a", "b", "c"}


async def test_a_caller_has_no_more_inside_than_it_may():
    turnstile, order, gate = Turnstile(3), [], asyncio.Event()
    asking = [
        asyncio.create_task(entered(turnstile, order, name, Ticket("a", 2, at_most=1), gate))
        for name in ("first", "second")
    ]
    asking.append(asyncio.create_task(entered(turnstile, order, "b", Ticket("b", 2), gate)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(order) == ["b", "first"]
    gate.set()
    await asyncio.gather(*asking)
    assert sorted(order) == ["b", "first", "second"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), max_size=25))
def test_no_slot_is_lost_however_turns_end(steps):
    async def play():
        turnstile, gate, order = Turnstile(2), asyncio.Event(), []
        tasks = []
        for caller, priority, cancels in steps:
            ticket = Ticket(str(caller), priority)
            tasks.append(asyncio.create_task(entered(turnstile, order, caller, ticket, gate)))
            if cancels:
                await asyncio.sleep(0)
                tasks[len(tasks) // 2].cancel()
            assert len(order) - sum(task.done() for task in tasks) <= 2
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turnstile.turn(Ticket("x", 1)), turnstile.turn(Ticket("y", 1)):
            assert not turnstile._free
        assert turnstile._free == 2
        assert not turnstile._callers

    asyncio.run(play())


# Bytes -------------------------------------------------------------------------------------------

KEY = job_key("tenant", "job", SECRET)
JOB = Job(
    "job", "tenant", "d" * 64, "s", IDENTITY, ("lime",), 1e9, "failed", 0.5, 1e9 + 1, 1e9 + 2,
    1e9 + 3, Failure("InvalidInput", "row 0: née"),
)  # fmt: skip


def test_a_job_and_its_answer_come_back_as_they_were():
    assert decode_job(encode_job(JOB, KEY, SECRET), KEY, SECRET) == JOB
    fresh = dataclasses.replace(JOB, state="queued", failure=None, ended_at=None, expires_at=None)
    assert decode_job(encode_job(fresh, KEY, SECRET), KEY, SECRET) == fresh
    assert decode_answer(encode_answer(b"x" * 1000, KEY, SECRET), KEY, SECRET) == b"x" * 1000
    assert encode_answer(bytes((64 << 20) + 1), KEY, SECRET) is None


def test_one_kind_is_not_the_other_nor_under_another_key_or_secret():
    record, answer = encode_job(JOB, KEY, SECRET), encode_answer(b"x", KEY, SECRET)
    other = job_key("tenant", "other", SECRET)
    assert decode_job(answer, KEY, SECRET) == Malformed("foreign")
    assert decode_answer(record, KEY, SECRET) == Malformed("foreign")
    assert decode_job(record, other, SECRET) == Malformed("forged")
    assert decode_job(record, KEY, bytes(32)) == Malformed("forged")
    assert job_key("tenantj", "ob", SECRET) != job_key("tenant", "job", SECRET)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_byte_changed_anywhere_is_noticed(at, change):
    data = bytearray(encode_job(JOB, KEY, SECRET))
    data[at % len(data)] ^= change
    assert isinstance(decode_job(bytes(data), KEY, SECRET), Malformed)


LIES = [
    b"", b"null", b"[]", b"{", b"{}", b'"x"', b"[" * 5000,
    *(
        f'{{"id": "job", "tenant": "", "digest": "", "server": "", "model": {model}, '
        f'"methods": {methods}, "submitted_at": {at}, "state": {state}, "progress": {progress}, '
        f'"started_at": null, "ended_at": {ended_at}, "expires_at": 5, "failure": {why}, '
        f'"caller": "", "deaths": 0, "moves": {moves}}}'.encode()
        for model, methods, at, state, progress, ended_at, why, moves in [
            ("null", "[]", 1, '"failed"', 0, 1, "null", 0),
            ('{"name": 1, "version": "", "digest": ""}', "[]", 1, '"failed"', 0, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[1]", 1, '"failed"', 0, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", -1, '"failed"', 0, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", "1e999", '"failed"', 0, 1, "null",
             0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"done"', 0, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, "[]", 0, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 2, 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', "NaN", 1, "null", 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 0, "null", "null",
             0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 0, 1, '"why"', 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 0, 1,
             '{"name": "SystemExit", "message": ""}', 0),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 0, 1, "null", 0.5),
            ('{"name": "", "version": "", "digest": ""}', "[]", 1, '"failed"', 0, 1, "null", -1),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie[:12] + lie[90:])
def test_one_who_knows_the_secret_can_lie_but_not_break(lie):
    data = seal(lie, (b"CNDJ", SCHEMA), KEY, SECRET)
    assert decode_job(data, KEY, SECRET) == Malformed("damaged")


def test_the_lies_are_near_the_truth():
    truth = (
        b'{"id": "job", "tenant": "", "digest": "", "server": "", "model": {"name": "", '
        b'"version": "", "digest": ""}, "methods": [], "submitted_at": 1, "state": "failed", '
        b'"progress": 0, "started_at": null, "ended_at": 1, "expires_at": 5, "failure": null, '
        b'"caller": "", "deaths": 0, "moves": 0}'
    )
    found = decode_job(seal(truth, (b"CNDJ", SCHEMA), KEY, SECRET), KEY, SECRET)
    assert isinstance(found, Job)


@pytest.mark.parametrize("given_id", ["a b", "a/b", "é", "x" * 65, "\n", ":"])
def test_an_id_that_cannot_be_one_is_named(given_id):
    with pytest.raises(InvalidOption, match="1 to 64 letters"):
        checked_id(given_id)


def test_an_id_of_ours_cannot_be_guessed():
    assert checked_id("Nightly_1.2-a") == "Nightly_1.2-a"
    assert len({checked_id("") for _ in range(100)}) == 100
    assert all(len(checked_id("")) == 32 for _ in range(3))
