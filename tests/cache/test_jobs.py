"""Jobs of several replicas before one Redis, and before none that answers."""

import asyncio
import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from shutil import copytree

import httpx
import numpy as np
import pytest

from cache.redis_server import RedisServer, proxy
from cache.test_service import eventually
from candor.client import Client
from candor.engine.jobs.codec import SCHEMA
from candor.engine.jobs.memory import Bounds
from candor.engine.jobs.record import job_key, tenant_key
from candor.engine.workers import Limits
from candor.errors import InvalidOption, NotFound, Unavailable, Unsupported
from serving import REPOSITORY, running
from unit.engine.builders import SECRET, Doled, LinearModel, explain_request, rig, until
from unit.engine.job_builders import SLICES, ask, ended, job_house, long_request, revived

KEY = job_key("", "job", SECRET)
PREFIX = f"candor:tests:job:{SCHEMA}:"
NAME = f"{PREFIX}{{{KEY}}}"
LIST = f"{PREFIX}of:{{{tenant_key('', SECRET)}}}"


@asynccontextmanager
async def replicas(url, n=2, slice_s=0.01, **how):
    """Several replicas: each an engine with a model of its own, and its jobs."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(n):
            model = LinearModel(slice_s=slice_s)
            built = await stack.enter_async_context(rig(model, limits=Limits(slots=1)))
            jobs = await stack.enter_async_context(job_house(built, url, **how))
            made.append((jobs, built))
        yield made


def standing(built, after=20):
    """Have long work stand still after some slices, until more are let through."""
    hold = built.model.hold = Doled()
    built.model.holds = "path"
    hold.let(after)
    return hold


async def seen(jobs, holds, job_id="job"):
    """Wait until a replica sees a job so."""
    async with asyncio.timeout(60):
        while True:
            try:
                job = await jobs.find("", job_id)
            except NotFound:
                job = None
            if job is not None and holds(job):
                return job
            await asyncio.sleep(0.02)


async def test_one_replica_runs_it_and_the_other_tells_of_it(server):
    async with replicas(server.url) as ((one, built), (other, idle)):
        hold = standing(built)
        await ask(one, built, request=long_request(n_slices=150))
        job = await seen(other, lambda job: 0 < job.progress < 1)
        hold.let(SLICES)
        assert job.state == "running"
        assert other.reports("", "job") == ()
        done = await ended(other)
        assert done.state == "succeeded"
        assert done == await one.find("", "job")
        assert await other.fetch("", "job") == await one.fetch("", "job")
        assert idle.model.calls == []
        assert await other.list("", 10) == ([done], True)


async def test_the_same_id_on_two_replicas_is_one_job(server):
    async with replicas(server.url) as ((one, built), (other, idle)):
        request = long_request(n_slices=50)
        first = await ask(one, built, request=request)
        second = await ask(other, idle, request=request)
        assert first.submitted_at == second.submitted_at
        with pytest.raises(InvalidOption, match="another request"):
            await ask(other, idle, request=explain_request())
        assert (await ended(other)).state == "succeeded"
        assert idle.model.calls == []
        assert idle.value("candor_jobs", state="queued") == 0


async def test_any_replica_cancels_it(server):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, request=long_request())
        await until(lambda: built.model.n_calls("path") >= 3)
        await other.cancel("", "job")
        assert (await ended(other)).state == "cancelled"
        calls = built.model.n_calls("path")
        await ask(one, built, job_id="next")
        await ended(one, "next")
        assert built.model.n_calls("path") <= calls + 1 < SLICES
        again = await ask(other, built, request=long_request())
        assert again.state == "cancelled"  # it has ended so, whoever asks for it again


async def test_a_replica_that_stops_leaves_what_it_has_done_and_the_rest_to_others(server):
    async with replicas(server.url) as ((one, built), (other, spare)):
        await ask(one, built)
        await ended(one)
        hold = standing(built)
        await ask(one, built, job_id="late", request=long_request(n_slices=150))
        await ask(one, built, job_id="waits", request=long_request(seed=1, n_slices=20))
        await seen(other, lambda job: 0 < job.progress < 1, "late")
        await one.drain(0.01)
        hold.let(SLICES)
        done, answer = await other.fetch("", "job")
        assert (done.state, len(answer)) == ("succeeded", 6 * 4)
        for job_id in ("late", "waits"):
            found = await ended(other, job_id)
            assert (found.state, found.deaths) == ("succeeded", 0)
            assert (await other.fetch("", job_id))[1]
        assert spare.value("candor_jobs_taken_over_total") == 2
        with server.client() as client:
            await until(lambda: not client.keys("*:request") and not client.keys("*:at:*"))


async def test_jobs_of_a_dead_replica_are_gone_on_with_and_finished_rows_stay(server):
    async with replicas(server.url) as ((one, built), (other, spare)):
        request, hold = long_request(n_slices=100), standing(built)
        submitted = await ask(one, built, request=request)
        before = await seen(other, lambda job: 0 < job.progress < 1)
        await dead(one)
        built.model.slice_s = 3.0
        hold.let(SLICES)
        progress = [before.progress]
        async for job in other.watch("", "job"):
            progress.append(job.progress)
        assert (job.state, job.deaths) == ("succeeded", 1)
        assert len(progress) > 2
        assert job.submitted_at == submitted.submitted_at
        assert progress == sorted(progress)
        assert spare.model.n_calls("path") >= 100
        assert (await other.fetch("", "job"))[1]
        assert built.value("candor_jobs_taken_over_total") == 0
        # Whoever was only thought dead gives way.
        one._kept.keeper._stopping = False
        one._lives._tend()
        await until(lambda: one._memory.get(KEY) is None)
        assert built.value("candor_jobs", state="running") == 0
        # Redis is told of the end a moment after who waits for it.
        assert await seen(one, lambda job: job.state == "succeeded")
        assert (await one.fetch("", "job")) == (await other.fetch("", "job"))


def runs(jobs) -> set[str]:
    """Jobs that a replica runs."""
    return {held.job.id for held in jobs._memory.under_way() if held.job.state == "running"}


def both_ours(jobs) -> bool:
    return sum(held.ours for held in jobs._memory.under_way()) == 2


async def dead(jobs):
    """As if the process had died some time ago: it says, writes and looks for nothing any more."""
    await jobs._heir.stop()
    await jobs._kept.keeper._stop()
    await jobs._kept.docket.gone(jobs._server)


async def test_one_of_many_takes_a_job_over_and_it_is_run_once(server):
    async with replicas(server.url, n=5) as ((one, built), *others):
        hold = standing(built, after=1)
        for number in range(6):
            request = long_request(seed=number, n_slices=20)
            await ask(one, built, job_id=str(number), request=request)
        await dead(one)
        built.model.slice_s = 3.0
        hold.let(SLICES)
        watching = others[0][0]
        for number in range(6):
            assert (await ended(watching, str(number))).state == "succeeded"
        taken = sum(each.value("candor_jobs_taken_over_total") for _, each in others)
        assert 0 < taken <= 6
        assert sum(each.model.n_calls("path") for _, each in others) <= 6 * 21


async def test_what_two_servers_died_of_is_not_run_a_third_time(server):
    async with replicas(server.url, n=3, slots=2) as replica:
        (one, built), (two, also), (three, spare) = replica
        await two._heir.stop()
        await three._heir.stop()
        deadly = long_request(seed=7)
        beside = long_request(seed=8, n_slices=300)
        await ask(one, built, job_id="deadly", request=deadly)
        await ask(one, built, job_id="beside", request=beside)
        for job_id in ("deadly", "beside"):
            await seen(three, lambda job: job.state == "running", job_id)
        await dead(one)
        two._heir._stopping.clear()
        two.inherit(partial(revived, two, also))
        # One that may be what it died of at a time: so the other is not blamed.
        await seen(three, lambda job: job.deaths == 1, "beside")
        await seen(three, lambda job: (job.state, job.deaths) == ("running", 1), "deadly")
        assert (await three.find("", "beside")).state in ("queued", "succeeded")
        await dead(two)
        three._heir._stopping.clear()
        three.inherit(partial(revived, three, spare))
        found = await ended(three, "deadly")
        assert (found.state, found.deaths, found.failure.name) == ("failed", 2, "Unsupported")
        assert "2 servers died while they ran this job" in found.failure.message
        beside = await ended(three, "beside")
        assert (beside.state, beside.deaths) == ("succeeded", 1)


async def test_of_suspects_redis_hears_that_one_has_ended_before_the_next_runs(server):
    async with replicas(server.url, slots=2) as ((one, built), (two, also)):
        await two._heir.stop()
        left, hold = standing(built, after=2), standing(also, after=2)
        for job_id in "ab":
            await ask(one, built, job_id=job_id, request=long_request(seed=ord(job_id), n_slices=9))
        for job_id in "ab":
            await seen(two, lambda job: job.state == "running", job_id)
        await dead(one)
        replace, written, meanwhile = two._kept.shelf.replace, [], asyncio.Event()

        async def slow(where, seen, record, *, ended):
            job = two._kept.reader.decoded(record, where[0])
            if job.state == "running" and both_ours(two) and not meanwhile.is_set():
                # While this is on its way to Redis, that job ends, and the other one begins.
                meanwhile.set()
                hold.let(9)
                await until(lambda: job.id not in runs(two) != set())
            written.append((job.id, job.state))
            return await replace(where, seen, record, ended=ended)

        two._kept.shelf.replace = slow
        two._heir._stopping.clear()
        two.inherit(partial(revived, two, also))
        await until(lambda: both_ours(two))
        hold.let(1)  # it is farther, which Redis is told
        await until(meanwhile.is_set)
        await until(lambda: "succeeded" in dict(written).values())
        hold.let(SLICES)
        await until(lambda: list(dict(written).values()) == ["succeeded"] * 2)
        running = set()
        for job_id, state in written:
            running = running | {job_id} if state == "running" else running - {job_id}
            assert len(running) <= 1
        left.let(SLICES)


async def test_a_dead_replicas_job_is_cancelled_by_whoever_takes_it_over(server):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, request=long_request())
        await seen(other, lambda job: job.state == "running")
        await dead(one)
        await other.cancel("", "job")
        assert (await ended(other)).state == "cancelled"


async def test_without_the_request_a_dead_replicas_job_is_lost_and_starts_anew(server):
    async with replicas(server.url) as ((one, built), (other, spare)):
        request, hold = long_request(n_slices=100), standing(built)
        await ask(one, built, request=request)
        await seen(other, lambda job: job.state == "running")
        await dead(one)
        built.model.slice_s = 3.0
        hold.let(SLICES)
        with server.client() as client:
            assert client.delete(f"{NAME}:request") == 1
        job = await seen(other, lambda job: job.state == "lost")
        assert "has stopped; submitted again under the same id" in job.failure.message
        assert [job.state for job in (await other.list("", 10))[0]] == ["lost"]
        again = await ask(other, spare, request=request)
        assert again.state == "queued"
        assert (await ended(other)).state == "succeeded"


@pytest.mark.parametrize("garbage", [b"x", b"CNDQ" + bytes(100)], ids=len)
async def test_garbage_in_the_place_of_a_request_is_none(server, garbage):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, request=long_request())
        await seen(other, lambda job: job.state == "running")
        await dead(one)
        with server.client() as client:
            client.set(f"{NAME}:request", garbage)
            client.sadd(f"{PREFIX}{{servers}}", "x", b"\xff" * 16)
        job = await seen(other, lambda job: job.state == "lost")
        assert "submitted again" in job.failure.message


async def test_a_full_replica_takes_nothing_over(server):
    bounds = Bounds(jobs=0, size_bytes=1 << 20, ttl_s=60.0)
    async with replicas(server.url, n=1) as ((one, built),):
        hold = standing(built, after=1)
        await ask(one, built, request=long_request(n_slices=30))
        await dead(one)
        built.model.slice_s = 3.0
        hold.let(SLICES)
        async with replicas(server.url, n=1, bounds=bounds) as ((full, idle),):
            await seen(full, lambda job: job.state == "queued")
            await asyncio.sleep(2.5)
            assert (await full.find("", "job")).state == "queued"
            assert idle.model.calls == []
            async with replicas(server.url, n=1) as ((free, _),):
                assert (await ended(free)).state == "succeeded"


@pytest.mark.parametrize("garbage", [b"", b"x", b"CNDJ", bytes(100), b"\xff" * 200_000], ids=len)
async def test_garbage_in_the_place_of_a_job_is_none(server, garbage):
    async with replicas(server.url) as ((one, built), (other, spare)):
        await ask(one, built)
        await ended(one)
        await until(lambda: one._memory.get(KEY).saved)
        with server.client() as client:
            client.set(NAME, garbage)
        with pytest.raises(NotFound):
            await other.find("", "job")
        assert await other.list("", 10) == ([], True)
        assert (await ask(other, spare)).state == "queued"
        assert (await ended(other)).state == "succeeded"


async def test_values_of_another_type_are_none_either(server):
    with server.client() as client:
        client.rpush(NAME, "x")
        client.set(LIST, "x")
        client.rpush(f"{NAME}:cancel", "x")
    async with replicas(server.url) as ((one, built), (other, _)):
        with pytest.raises(NotFound):
            await other.find("", "job")
        assert await other.list("", 10) == ([], True)
        await ask(one, built)
        assert (await ended(one)).state in ("succeeded", "cancelled")


async def test_an_answer_that_is_gone_or_forged_makes_the_job_lost(server):
    async with replicas(server.url) as ((one, built), (other, spare)):
        await ask(one, built)
        await ended(one)
        await until(lambda: one._memory.get(KEY).saved)
        with server.client() as client:
            record = client.get(f"{NAME}:answer")
            client.set(f"{NAME}:answer", record[:-1] + b"x")
            assert (await other.fetch("", "job"))[0].state == "lost"
            client.delete(f"{NAME}:answer")
        job, answer = await other.fetch("", "job")
        assert (job.state, answer) == ("lost", None)
        assert "answer is no longer in Redis" in job.failure.message
        assert (await one.fetch("", "job"))[0].state == "succeeded"
        assert spare.value("candor_cache_errors_total", tier="redis", reason="forged") == 1
        await ask(other, spare)
        assert (await ended(other)).state == "succeeded"


async def test_what_is_kept_ends_with_its_time(server):
    bounds = Bounds(jobs=8, size_bytes=1 << 20, ttl_s=3.0)
    async with replicas(server.url, bounds=bounds) as ((one, built), (other, _)):
        hold = standing(built)
        await ask(one, built, request=long_request(n_slices=100))
        await seen(other, lambda job: job.state == "running")
        with server.client() as client:
            assert client.pttl(NAME) > 50_000  # under way it does not run out
        hold.let(SLICES)
        assert (await ended(one)).state == "succeeded"
        async with asyncio.timeout(120):  # an end that came too late to be written takes a minute
            while True:
                try:
                    await other.find("", "job")
                except NotFound:
                    break
                await asyncio.sleep(0.02)
        with server.client() as client:
            assert not client.exists(NAME, f"{NAME}:answer")


async def test_redis_killed_the_replica_that_runs_it_still_tells(server):
    async with replicas(server.url) as ((one, built), (other, idle)):
        hold = standing(built)
        await ask(one, built, request=long_request(n_slices=100))
        await seen(other, lambda job: job.state == "running")
        server.kill()
        for asking in (other.find, other.fetch, other.cancel):
            with pytest.raises(Unavailable, match="kept in Redis, which does not answer"):
                await asking("", "job")
        jobs, whole = await one.list("", 10)
        assert ([job.id for job in jobs], whole) == (["job"], False)
        assert await other.list("", 10) == ([], False)
        hold.let(SLICES)
        await ask(other, idle, job_id="new")
        assert (await ended(other, "new")).state == "succeeded"
        assert (await ended(one)).state == "succeeded"
        server.start()
        # Each writes what it has as soon as Redis is back.
        done = await seen(other, lambda job: job.state == "succeeded")
        assert (await other.fetch("", "job")) == (done, (await one.fetch("", "job"))[1])
        await seen(one, lambda job: job.state == "succeeded", "new")


async def test_redis_restarted_empty_gets_the_jobs_under_way_again(server):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, request=long_request())
        await seen(other, lambda job: job.state == "running")
        with server.client() as client:
            client.flushall()
        await seen(other, lambda job: job.state == "running")
        await other.cancel("", "job")
        assert (await ended(other)).state == "cancelled"


async def test_a_black_hole_holds_nobody_for_long(server):
    async with (
        proxy(server.port) as hole,
        replicas(hole.url, n=1, timeout_s=0.5) as ((jobs, built),),
    ):
        hole.delay_s = None
        async with asyncio.timeout(20):
            await ask(jobs, built)
            assert (await ended(jobs)).state == "succeeded"
            with pytest.raises(Unavailable):
                await jobs.find("", "other")
        hole.delay_s = 0.0


async def test_tenants_are_kept_apart_in_redis_too(server):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, tenant="a")
        await ended(one, tenant="a")
        await until(lambda: one._memory.get(job_key("a", "job", SECRET)).saved)
        for tenant in ("", "b", "a:", "of"):
            with pytest.raises(NotFound):
                await other.find(tenant, "job")
            assert await other.list(tenant, 10) == ([], True)
        with server.client() as client:
            stored = b" ".join(client.keys("candor:tests:job:*"))
        assert not re.search(rb":\W?a\b", stored)
        assert (await other.find("a", "job")).state == "succeeded"


async def test_a_forged_record_is_nobodys_job(server):
    async with replicas(server.url) as ((one, built), (other, _)):
        await ask(one, built, tenant="a")
        await ended(one, tenant="a")
        theirs = f"{PREFIX}{{{job_key('a', 'job', SECRET)}}}"
        await until(lambda: one._memory.get(job_key("a", "job", SECRET)).saved)
        with server.client() as client:
            client.copy(theirs, NAME, replace=True)
        with pytest.raises(NotFound):
            await other.find("", "job")


# Whole servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.kill()


def test_a_server_is_killed_and_another_goes_on_with_its_jobs(redis, tmp_path):
    environ = {"CANDOR_REDIS_URL": redis.url, "CANDOR_JOB_LOST_S": "1", "CANDOR_WORKERS": "1"}
    models = tmp_path / "models"
    copytree(REPOSITORY / "sentences", models / "sentences")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    texts = [f"a film of {n} quiet moments and one very loud ending" for n in range(8)]
    methods = [{"lime": {"n_samples": 1500}}]
    with (
        running(tmp_path / "two", models, environ) as two,
        Client(two.grpc_target) as second,
    ):
        with (
            running(tmp_path / "one", models, environ) as one,
            Client(one.grpc_target, attempts=1) as first,
        ):
            kept = first.submit("sentences", ["gradient"], texts=["kept"])
            answer = kept.wait(300).of("gradient").values.tobytes()
            eventually(lambda: second.job(kept.id).state == "succeeded")
            first.submit("sentences", methods, job_id="long", texts=texts)
            first.submit("sentences", methods, job_id="waits", texts=["it waits"])
            eventually(lambda: second.job("long").progress > 0.4)
            one.process.kill()
            one.process.wait()
        before = samples(two)
        explained = second.job("long").wait(300)
        # The rows that were finished are not computed again.
        assert samples(two) - before < 0.75 * 1500 * len(texts)
        some = [0, 4, 7]
        again = second.explain(
            "sentences", methods, texts=[texts[row] for row in some], cache="bypass"
        )
        for at, row in enumerate(some):
            expected = again.of("lime", row=at).values
            assert explained.of("lime", row=row).values.tobytes() == expected.tobytes()
        assert second.job("waits").wait(300).of("lime").complete
        assert second.job(kept.id).wait(300).of("gradient").values.tobytes() == answer
        assert {found.id for found in second.jobs()} == {"long", "waits", kept.id}


def test_a_job_that_two_servers_are_killed_with_is_ended_with_the_reason(redis, tmp_path):
    environ = {"CANDOR_REDIS_URL": redis.url, "CANDOR_JOB_LOST_S": "0.5"}
    environ["CANDOR_CACHE_NAMESPACE"] = "deadly"
    models = tmp_path / "models"
    copytree(REPOSITORY / "photos", models / "photos")
    methods = [{"lime": {"n_samples": 100_000, "segments": "grid", "seed": -1}}]
    picture = {"image": np.random.default_rng(1).normal(size=(1, 3, 64, 64)).astype(np.float32)}
    for life in range(12):
        with (
            running(tmp_path, models, environ) as server,
            Client(server.grpc_target, attempts=1) as client,
        ):
            if life == 0:
                client.submit("photos", methods, job_id="deadly", tensors=picture)
            eventually(lambda: client.job("deadly").state in ("running", "failed"))
            if client.job("deadly").state == "failed":
                break
            time.sleep(1)  # until Redis knows that it runs; else that life does not count
            server.process.kill()
            server.process.wait()
    assert life >= 2
    with (
        running(tmp_path, models, environ) as server,
        Client(server.grpc_target, attempts=1) as client,
        pytest.raises(Unsupported, match="2 servers died while they ran this job"),
    ):
        client.job("deadly").wait(300)


def samples(server):
    """Rows that the models have seen so far."""
    page = httpx.get(f"{server.metrics_url}/metrics").text.splitlines()
    lines = [line for line in page if line.startswith("candor_model_calls_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_server_that_is_asked_to_stop_ends_its_jobs_and_leaves_those_that_wait(redis, tmp_path):
    environ = {"CANDOR_REDIS_URL": redis.url, "CANDOR_WORKERS": "1"}
    models = tmp_path / "models"
    copytree(REPOSITORY / "sentences", models / "sentences")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    methods = [{"integrated_gradients": {"n_steps": 10_000}}]
    with (
        running(tmp_path / "two", models, environ) as two,
        Client(two.grpc_target) as second,
    ):
        with (
            running(tmp_path / "one", models, environ) as one,
            Client(one.grpc_target, attempts=1) as first,
        ):
            runs = first.submit("sentences", methods, texts=["it runs", "and runs", "on"])
            waits = first.submit("sentences", methods, texts=["it waits"])
            eventually(lambda: runs.refresh().state != "queued")
            assert one.stop() == 0
        assert second.job(runs.id).wait(300).of("integrated_gradients").complete
        assert second.job(waits.id).wait(300).of("integrated_gradients").complete
