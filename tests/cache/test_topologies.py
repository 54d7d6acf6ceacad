"""A master that Sentinels know of, a cluster, a password in a file: real redis-server processes."""

import asyncio
import bisect
import contextlib
import subprocess
import time

import pytest
import redis
from redis.crc import key_slot

from cache.redis_server import RedisServer, binary, free_port
from cache.test_jobs import dead, replicas, seen
from cache.tier import redis_rig
from candor.engine.deadline import Deadline
from candor.engine.jobs.codec import SCHEMA
from candor.engine.jobs.record import job_key
from candor.engine.redis_client import open_redis
from candor.engine.redis_locks import RedisLocks
from candor.errors import Unavailable
from candor.explain.options import Gradient, Lime, Occlusion
from unit.engine.builders import SECRET, explain_request, rows
from unit.engine.job_builders import ask, ended, long_request

NEVER = Deadline()
BOUNDS = (0, 5461, 10923, 16384)
REQUEST = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(2))


def statuses(explanation):
    return {answer.cache for method in explanation.answers for row in method for answer in row}


async def asked(house, request=REQUEST):
    found = await house.engine.explain(request, NEVER)
    await house.cache.flush()
    return statuses(found)


async def until(condition):
    """Wait for what comes in its own time."""
    end = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def started(folder, count, *arguments):
    made = []
    for number in range(count):
        (folder / str(number)).mkdir()
        made.append(RedisServer(folder / str(number)))
        made[-1].start(*(each.format(bus=free_port()) for each in arguments))
    return made


@pytest.fixture
def watched(tmp_path):
    """A master, its replica, and a Sentinel that would rather not wait."""
    master, replica = started(tmp_path, 2)
    with replica.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
    port, settings = free_port(), tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor answers 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds answers 1000\n"
        "sentinel failover-timeout answers 2000\n"
    )
    with (tmp_path / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([binary(), settings, "--sentinel"], stdout=log, stderr=log)
    with redis.Redis(port=port) as client:
        while not knows_replica(client):
            time.sleep(0.05)
    yield master, replica, f"127.0.0.1:{port}"
    process.kill()
    process.wait()
    master.kill()
    replica.kill()


def knows_replica(sentinel):
    with contextlib.suppress(redis.ConnectionError):
        return bool(sentinel.execute_command("SENTINEL", "REPLICAS", "answers"))
    return False


async def test_a_master_that_dies_is_replaced_without_a_request_that_fails(watched):
    master, replica, sentinel = watched
    # The first of the Sentinels is not there: the next is asked.
    url = f"redis+sentinel://127.0.0.1:1,{sentinel}/answers/0"
    async with redis_rig(url, timeout_s=30) as house:

        async def replicated():
            with replica.client() as client:
                return client.info("replication")["master_link_status"] == "up"

        await until(replicated)

        async def stored():
            return await asked(house) == {"hit"}

        await until(stored)
        with replica.client() as client:
            kept = lambda: len(client.keys("candor:*")) == 6  # noqa: E731
            while not kept():
                await asyncio.sleep(0.02)
        assert house.value("candor_redis_up") == 1
        master.kill()

        # Meanwhile every request is answered, and in the end from what the replica had.
        seen = set()

        async def taken_over():
            seen.update(found := await asked(house))
            return found == {"hit"}

        await until(taken_over)
        assert seen <= {"hit", "miss"}
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"


@pytest.fixture
def cluster(tmp_path):
    """Three masters, a third of the slots each."""
    nodes = started(
        tmp_path, 3, "--cluster-enabled", "yes", "--cluster-port", "{bus}",
        "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "60000",
    )  # fmt: skip
    clients = [node.client() for node in nodes]
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", BOUNDS[number], BOUNDS[number + 1] - 1)
        bus = client.config_get("cluster-port")["cluster-port"]
        for other in clients:
            other.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[number].port, bus)
    end = time.monotonic() + 60
    while not all(ready(client) for client in clients):
        assert time.monotonic() < end
        time.sleep(0.05)
    yield nodes, clients
    for client in clients:
        client.close()
    for node in nodes:
        node.kill()


def ready(client):
    info = client.execute_command("CLUSTER", "INFO")
    text = info if isinstance(info, dict) else dict(
        line.split(":") for line in info.decode().split("\r\n") if ":" in line
    )  # fmt: skip
    return text["cluster_state"] == "ok" and text["cluster_known_nodes"] == "3"


async def test_a_cluster_keeps_each_answer_where_it_belongs(cluster):
    nodes, clients = cluster
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    async with (
        redis_rig(f"redis+cluster://127.0.0.1:1,{hosts}", timeout_s=30) as one,
        redis_rig(f"redis+cluster://{hosts}", timeout_s=30) as other,
    ):
        many = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(10))
        assert await asked(one, many) == {"miss"}
        assert await asked(other, many) == {"hit"}
        assert other.model.calls == []
        held = [len(client.keys("candor:*")) for client in clients]
        assert sum(held) == 30
        assert all(held)

        # Locks lie where their names belong, and are given back by who has them only.
        locks = RedisLocks(one.cache._redis._client, one.metrics, namespace="tests", timeout_s=30)
        for number in range(10):
            assert await locks.take(f"{number}", "ours", 60)
            assert not await locks.take(f"{number}", "theirs", 60)
            assert not await locks.give_back(f"{number}", "theirs")
            assert await locks.renew(f"{number}", "ours", 90)
            assert await locks.give_back(f"{number}", "ours")


def lookups(house):
    """Answers of the cache so far."""
    return {
        status: house.value("candor_cache_total", kind="explanation", status=status)
        for status in ("hit", "miss")
    }


async def test_a_dead_node_of_a_cluster_costs_what_it_held_and_no_more(cluster):
    nodes, clients = cluster
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    many = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(10))
    # Its own keys are asked for last, so that a whole tier that goes quiet would be seen.
    one_key = [explain_request(Gradient(), x=rows(1, seed)) for seed in range(100, 112)]
    async with redis_rig(f"redis+cluster://{hosts}", timeout_s=30) as house:
        assert await house.cache.ping()
        assert await asked(house, many) == {"miss"}
        for request in one_key:
            assert await asked(house, request) == {"miss"}
        lost = len(clients[0].keys("candor:*"))
        assert 0 < lost < 42
        nodes[0].kill()
        before = lookups(house)
        for _ in range(3):
            await asked(house, many)
            for request in one_key:
                await asked(house, request)
        after = lookups(house)
        assert after["miss"] - before["miss"] == 3 * lost
        assert after["hit"] - before["hit"] == 3 * (42 - lost)
        assert house.value("candor_redis_up") == 1
        # It comes back, empty: what it is to hold is stored again, and found.
        nodes[0].start(
            "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
            "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "60000",
        )  # fmt: skip

        async def whole():
            found = [await asked(house, request) for request in (many, *one_key)]
            return found == [{"hit"}] * len(found)

        await until(whole)


async def test_a_server_that_starts_while_a_node_is_dead_has_the_others(cluster):
    nodes, _ = cluster
    nodes[0].kill()  # the first, which tells redis-py how to ask
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    many = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(10))
    async with redis_rig(url, timeout_s=30) as house:
        assert await house.cache.ping()
        assert await asked(house, many) == {"miss"}
        assert "hit" in await asked(house, many)


async def test_jobs_in_a_cluster_are_told_of_and_taken_over(cluster):
    nodes, _ = cluster
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    async with replicas(url, timeout_s=30) as ((one, built), (other, spare)):
        request = long_request(n_slices=300)
        for number in range(4):  # on several nodes, together
            await ask(one, built, job_id=str(number), request=request)
        await seen(other, lambda job: 0 < job.progress < 1, "0")
        assert len((await other.list("", 10))[0]) >= 1
        await dead(one)
        built.model.slice_s = 3.0
        for number in range(4):
            assert (await ended(other, str(number))).state == "succeeded"
        assert spare.value("candor_jobs_taken_over_total") == 4


def key_of(job_id):
    return job_key("", job_id, SECRET)


def node_of(job_id):
    """Which of the nodes has a job."""
    return bisect.bisect(BOUNDS[1:], key_slot(key_of(job_id).encode()))


def all_saved(jobs):
    async def saved():
        return all(held.saved for held in jobs._memory.all())

    return saved


async def test_with_a_dead_node_of_a_cluster_jobs_live_on(cluster):
    nodes, clients = cluster
    number = 0
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    ids = [f"job-{at}" for at in range(9)]
    async with replicas(url, timeout_s=30) as ((one, built), (other, _)):
        for job_id in ids:
            await ask(one, built, job_id=job_id)
            assert (await ended(one, job_id)).state == "succeeded"
        await until(all_saved(one))
        await ask(one, built, job_id="long", request=long_request(n_slices=300))
        await seen(other, lambda job: 0 < job.progress < 1, "long")
        there = [job_id for job_id in ids if node_of(job_id) == number]
        assert 0 < len(there) < len(ids)
        assert clients[number].exists(f"candor:tests:job:{SCHEMA}:{{{key_of(there[0])}}}:answer")
        nodes[number].kill()
        # A job that ended lies where it lies; one that runs is put where somebody takes it.
        for job_id in ids:
            if job_id in there:
                with pytest.raises(Unavailable, match="of which the node that would have this one"):
                    await other.find("", job_id)
            else:
                assert (await other.fetch("", job_id))[1]
        listed, whole = await other.list("", 20)
        assert {*ids} - {job.id for job in listed} == {*there}
        assert not whole
        new = [f"new-{at}" for at in range(6)]
        assert number in map(node_of, new)
        for job_id in new:
            await ask(one, built, job_id=job_id)
        for job_id in ("long", *new):
            assert (await ended(other, job_id)).state == "succeeded"
            assert (await other.fetch("", job_id))[1]
        # One that begins now knows them too, and takes over what a server leaves behind.
        await ask(one, built, job_id="left", request=long_request(seed=1))
        await seen(other, lambda job: 0 < job.progress < 1, "left")
        async with replicas(url, n=1, timeout_s=30) as ((third, late),):
            assert (await third.find("", new[0])).state == "succeeded"
            await one.drain(0)
            await other.drain(0)
            await seen(third, lambda job: job.state == "running", "left")
            assert (await third.cancel("", "left")).state == "cancelled"
            assert late.value("candor_jobs_taken_over_total") == 1


async def test_a_cluster_of_which_no_node_answers_is_no_cache_and_no_failure(server):
    server.kill()
    async with redis_rig(f"redis+cluster://127.0.0.1:{server.port}", timeout_s=30) as house:
        assert not await house.cache.ping()
        assert await asked(house) == {"miss"}
        assert house.value("candor_redis_up") == 0
        locks = RedisLocks(house.cache._redis._client, house.metrics, namespace="tests")
        assert await locks.take("1", "ours", 60) is None


async def test_the_password_is_read_anew_for_every_connection(server, tmp_path):
    file = tmp_path / "password"
    file.write_text("first\n")
    async with redis_rig(server.url, password_file=file) as house:
        with server.client() as client:
            client.config_set("requirepass", "first")
            assert await asked(house) == {"miss"}
            assert await asked(house) == {"hit"}
            client.config_set("requirepass", "second")
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        file.write_text("second")

        async def hit():
            return await asked(house) == {"hit"}

        await until(hit)


async def test_a_user_stands_in_the_url_and_the_password_in_the_file(server, tmp_path):
    file = tmp_path / "password"
    file.write_text("secret")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "candor", "on", ">secret", "~candor:*", "+@all")
        client.config_set("requirepass", "another")
    url = f"redis://candor@127.0.0.1:{server.port}/0"
    async with redis_rig(url, password_file=file) as house:
        assert await house.cache.ping()
        assert await asked(house) == {"miss"}
    file.write_text("wrong")
    async with redis_rig(url, password_file=file) as house:
        assert not await house.cache.ping()
        assert await asked(house) == {"miss"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://127.0.0.1:26379", "names no service"),
        ("redis+sentinel://127.0.0.1:26379/answers/first", "no number of a database"),
        ("redis+sentinel://,/answers", "there is no host"),
        ("redis+cluster://", "there is no host"),
        ("redis+ring://127.0.0.1", "there is no 'redis"),
        ("unix+cluster:///tmp/redis", "there is no 'unix"),
    ],
)
def test_what_cannot_be_a_topology_is_refused_at_once(url, said):
    with pytest.raises(ValueError, match=said):
        open_redis(url)


def test_two_passwords_are_one_too_many(tmp_path):
    with pytest.raises(ValueError, match="another in a file"):
        open_redis("redis://:word@127.0.0.1", password_file=tmp_path / "password")
