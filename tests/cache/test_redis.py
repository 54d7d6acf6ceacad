import asyncio

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from cache.redis_server import proxy
from cache.tier import redis_rig, redis_tier
from candor.engine.deadline import Deadline
from candor.engine.digest import SCHEMA
from candor.engine.redis_cache import MAX_VALUE_BYTES
from candor.engine.redis_client import open_redis
from candor.explain.options import Gradient, Lime, Occlusion
from candor.metrics import Metrics
from unit.engine.builders import explain_request, rows, until

NEVER = Deadline()
REQUEST = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(2))


def flat(explanation):
    return [answer for method in explanation.answers for row in method for answer in row]


def statuses(explanation):
    return {answer.cache for answer in flat(explanation)}


async def test_one_replica_computes_and_the_other_answers_without_its_model(server):
    async with redis_rig(server.url) as one, redis_rig(server.url) as other:
        first = await one.engine.explain(REQUEST, NEVER)
        await one.cache.flush()
        second = await other.engine.explain(REQUEST, NEVER)
        assert (statuses(first), statuses(second)) == ({"miss"}, {"hit"})
        assert other.model.calls == []
        for a, b in zip(flat(first), flat(second), strict=True):
            assert a.key == b.key
            np.testing.assert_array_equal(a.attribution.values, b.attribution.values)
            assert dict(a.attribution.trust) == dict(b.attribution.trust)
        for name, array in first.prediction.outputs.items():
            np.testing.assert_array_equal(second.prediction.outputs[name], array)
        np.testing.assert_array_equal(second.prediction.scores.score, first.prediction.scores.score)
        assert other.value("candor_redis_up") == 1
        assert other.value("candor_cache_total", kind="explanation", status="hit") == 6


async def test_what_redis_had_is_kept_in_memory_too(server):
    async with redis_rig(server.url) as one, redis_rig(server.url, memory_bytes=1 << 20) as other:
        await one.engine.explain(REQUEST, NEVER)
        await one.cache.flush()
        await other.engine.explain(REQUEST, NEVER)
        server.kill()
        assert statuses(await other.engine.explain(REQUEST, NEVER)) == {"hit"}
        assert other.value("candor_cache_errors_total", tier="redis", reason="connection") == 0


async def test_a_request_looks_up_all_its_answers_in_one_round_trip(server):
    async with redis_rig(server.url) as house:
        await house.engine.explain(REQUEST, NEVER)
        await house.cache.flush()
        with server.client() as client:
            before = client.info("commandstats")["cmdstat_getrange"]["calls"]
        await house.engine.explain(REQUEST, NEVER)
        with server.client() as client:
            assert client.info("commandstats")["cmdstat_getrange"]["calls"] == before + 6
        labels = {"tier": "redis", "op": "get"}
        assert house.value("candor_cache_seconds_count", **labels) == 2


async def test_keys_carry_namespace_and_schema_and_expire_with_jitter(server):
    async with redis_rig(server.url, namespace="blue", ttl_s=1000) as house:
        explanation = await house.engine.explain(explain_request(x=rows(30)), NEVER)
        await house.cache.flush()
        with server.client() as client:
            keys = sorted(key.decode() for key in client.scan_iter())
            assert keys == sorted(f"candor:blue:{SCHEMA}:{a.key}" for a in flat(explanation))
            left = [client.pttl(key) / 1000 for key in keys]
        assert all(800 < seconds <= 1100 for seconds in left)  # less what has passed since
        assert max(left) - min(left) > 20


async def test_an_entry_that_expires_is_a_miss(server):
    async with redis_rig(server.url, ttl_s=0.2) as house:
        await house.engine.explain(REQUEST, NEVER)
        await house.cache.flush()
        await asyncio.sleep(0.3)
        assert statuses(await house.engine.explain(REQUEST, NEVER)) == {"miss"}


async def test_namespaces_do_not_see_each_other(server):
    async with (
        redis_rig(server.url, namespace="a") as one,
        redis_rig(server.url, namespace="b") as b,
    ):
        await one.engine.explain(REQUEST, NEVER)
        await one.cache.flush()
        assert statuses(await b.engine.explain(REQUEST, NEVER)) == {"miss"}


async def test_bypass_and_fresh_seeds_leave_nothing_in_redis(server):
    async with redis_rig(server.url) as house:
        await house.engine.explain(explain_request(Gradient(), cache="bypass"), NEVER)
        await house.engine.explain(explain_request(Lime(20, seed=-1)), NEVER)
        await house.cache.flush()
        with server.client() as client:
            assert client.dbsize() == 0
            stats = client.info("commandstats")
        assert "cmdstat_set" not in stats
        assert "cmdstat_getrange" not in stats


async def test_refresh_replaces_what_redis_has(server):
    async with redis_rig(server.url) as one, redis_rig(server.url) as other:
        await one.engine.explain(explain_request(), NEVER)
        one.model.weights[:] *= 2
        fresh = await one.engine.explain(explain_request(cache="refresh"), NEVER)
        await one.cache.flush()
        found = await other.engine.explain(explain_request(), NEVER)
        np.testing.assert_array_equal(
            flat(found)[0].attribution.values, flat(fresh)[0].attribution.values
        )


async def test_twenty_equal_questions_at_once_are_one_computation_and_one_entry(server):
    async with redis_rig(server.url, memory_bytes=1 << 20) as house:
        house.model.slice_s = 0.02
        asking = [house.engine.explain(explain_request(), NEVER) for _ in range(20)]
        await asyncio.gather(*asking)
        await house.cache.flush()
        assert house.model.n_calls("gradient") == 1
        with server.client() as client:
            assert client.info("commandstats")["cmdstat_set"]["calls"] == 1


@pytest.mark.parametrize("method", [Gradient(), Lime(30)])
async def test_what_was_answered_while_redis_was_asked_is_not_computed_again(server, method):
    request = explain_request(method)
    async with proxy(server.port) as slow, redis_rig(slow.url, memory_bytes=1 << 20) as house:
        await asyncio.gather(house.cache.ping(), house.cache.ping())  # a connection for each
        slow.turns, slow.answers = asyncio.Semaphore(0), 0
        asking = []
        for n in (1, 2):  # half-way into the first one's look-up the second begins its own
            asking.append(asyncio.create_task(house.engine.explain(request, NEVER)))
            await until(lambda: slow.answers == n)  # noqa: B023
        one, two = asking
        slow.turns.release()
        assert statuses(await one) == {"miss"}
        house.model.calls.clear()
        for _ in range(100):
            slow.turns.release()
        assert statuses(await two) == {"hit"}
        assert house.model.calls == []


async def test_the_answer_does_not_wait_for_redis_to_store_it(server):
    async with redis_rig(server.url, timeout_s=120) as house:
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", "600000", "WRITE")
            for n in range(2):
                await house.engine.explain(explain_request(x=rows(1, n)), NEVER)
            assert len(house.cache._pending) == 2
            client.execute_command("CLIENT", "UNPAUSE")


async def test_a_value_over_the_limit_is_neither_stored_nor_fetched(server):
    metrics = Metrics(CollectorRegistry())
    tier = redis_tier(server.url, metrics, timeout_s=5)
    assert not await tier.put("k", bytes(MAX_VALUE_BYTES + 1))
    assert await tier.put("j", bytes(MAX_VALUE_BYTES // 64))
    with server.client() as client:
        client.set(f"candor:tests:{SCHEMA}:k", bytes(2 * MAX_VALUE_BYTES))
        before = client.info("stats")["total_net_output_bytes"]
        found = await tier.get_many(["k", "j", "none"])
        sent = client.info("stats")["total_net_output_bytes"] - before
    assert [value and len(value) for value in found] == [None, MAX_VALUE_BYTES // 64, None]
    assert sent < 1.1 * MAX_VALUE_BYTES
    labels = {"tier": "redis", "reason": "too_large"}
    assert metrics.registry.get_sample_value("candor_cache_errors_total", labels) == 2
    await tier.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379", "redis//x", ""])
def test_what_is_no_redis_url_is_refused_at_once(url):
    with pytest.raises(ValueError, match=r"(?i)redis"):
        open_redis(url)


async def test_a_password_and_a_unix_socket_come_from_the_url(server, tmp_path):
    server.kill()
    socket = tmp_path / "redis.sock"
    server.start("--unixsocket", str(socket))
    with server.client() as client:
        client.config_set("requirepass", "pass word")
    for url in (
        f"redis://:pass%20word@127.0.0.1:{server.port}/3",
        f"unix://:pass%20word@{socket}?db=3",
    ):
        async with redis_rig(url) as house:
            assert await house.cache.ping()
            await house.engine.explain(explain_request(), NEVER)
    async with redis_rig(server.url) as house:
        assert not await house.cache.ping()
        assert house.value("candor_redis_up") == 0
