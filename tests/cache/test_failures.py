import asyncio
import operator
from dataclasses import replace

import numpy as np
import pytest

from cache.redis_server import RedisServer, free_port, proxy
from cache.tier import SHORT_S, redis_rig
from candor.engine import redis_cache
from candor.engine.deadline import Deadline
from candor.engine.digest import SCHEMA, cache_secret
from candor.engine.entry import decode, encode
from candor.explain.options import Gradient, Lime, Occlusion
from candor.result import Scores
from unit.engine.builders import SECRET, LinearModel, explain_request, rows, until
from unit.engine.test_entry import built

NEVER = Deadline()
REQUEST = explain_request(Gradient(), Occlusion(), Lime(100), x=rows(2))


async def ask(house, request=REQUEST):
    """An explanation, right whatever Redis does: how its answers came."""
    explanation = await house.engine.explain(request, NEVER)
    await house.cache.flush()
    answers = [answer for method in explanation.answers for row in method for answer in row]
    x = request.payload.by_name["x"]
    np.testing.assert_allclose(
        explanation.prediction.scores.score, LinearModel()._quiet(x).score, rtol=1e-5
    )
    for answer in answers:
        assert np.isfinite(answer.attribution.values).all()
        assert answer.attribution.values.shape == (6,)
    return {answer.cache for answer in answers}


def errors(house, reason):
    return house.value("candor_cache_errors_total", tier="redis", reason=reason)


def looked_up(house):
    """How often Redis was asked for answers."""
    return house.value("candor_cache_seconds_count", tier="redis", op="get")


def asked_for(house):
    """How often Redis was asked for anything on behalf of a request."""
    return looked_up(house) + house.value("candor_cache_seconds_count", tier="redis", op="put")


def fresh(n):
    """A question that nobody asked before."""
    return explain_request(Gradient(), x=rows(1, 1000 + n))


async def used_again(house):
    """Ask until Redis is read and written again: each breaker closes within its cool-down.

    On a busy machine Redis may be too slow for a short time-out, and the breaker opens once more:
    the wait is long, and ends at the first answer that came from Redis.
    """
    async with asyncio.timeout(60):
        while await ask(house) != {"hit"}:
            await asyncio.sleep(0.02)
    assert house.value("candor_redis_up") == 1


async def test_killed_in_the_middle_restarted_empty_and_used_again(server):
    async with redis_rig(server.url) as house:
        assert await ask(house) == {"miss"}
        assert await ask(house) == {"hit"}
        server.kill()
        for _ in range(3):
            assert await ask(house) == {"miss"}
        assert house.value("candor_redis_up") == 0
        assert errors(house, "connection") >= 1
        server.start()
        with server.client() as client:
            assert client.dbsize() == 0
        await used_again(house)


async def test_killed_and_restarted_under_load_no_request_fails(server):
    async with redis_rig(server.url, memory_bytes=1 << 20) as house:
        stop, turns = asyncio.Event(), [0] * 8

        async def caller(number):
            while not stop.is_set():
                await house.engine.explain(fresh(number * 10_000 + turns[number] % 50), NEVER)
                turns[number] += 1

        async def all_answered():
            """Every caller, some times more."""
            wanted = [turn + 3 for turn in turns]
            await until(lambda: all(map(operator.ge, turns, wanted)))

        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        for _ in range(2):
            await all_answered()
            failed = errors(house, "connection")
            await asyncio.to_thread(server.kill)
            await until(lambda: errors(house, "connection") > failed)  # noqa: B023
            await all_answered()
            await asyncio.to_thread(server.start)
            await until(lambda: house.value("candor_redis_up") == 1)
        await all_answered()
        stop.set()
        await asyncio.gather(*callers)
    async with redis_rig(server.url) as house:
        await used_again(house)


async def test_never_there_costs_a_refused_connection_and_then_nothing():
    async with redis_rig(f"redis://127.0.0.1:{free_port()}/0", cooldown_s=3600) as house:
        for n in range(10):
            assert await ask(house, fresh(n)) == {"miss"}
        # three failures open the breaker; the seven others were spared
        assert errors(house, "open") >= 7
        assert house.value("candor_redis_up") == 0


async def test_a_black_hole_costs_three_timeouts_and_then_nothing(server):
    async with (
        proxy(server.port) as hole,
        redis_rig(hole.url, timeout_s=SHORT_S, cooldown_s=3600) as house,
    ):
        hole.delay_s = None
        for n in range(3):
            await ask(house, fresh(n))
        waits = asked_for(house)
        assert waits >= 3
        assert errors(house, "timeout") == waits
        for n in range(3, 12):
            await ask(house, fresh(n))
        assert asked_for(house) == waits  # the open breaker spares the wait
        assert errors(house, "open") >= 9
        assert house.value("candor_redis_up") == 0


async def test_the_probe_of_an_open_breaker_costs_no_request_its_time(server):
    async with (
        proxy(server.port) as hole,
        redis_rig(hole.url, timeout_s=SHORT_S, cooldown_s=0.05) as house,
    ):
        hole.delay_s = None
        for n in range(3):
            await ask(house, fresh(n))
        looked, failed = looked_up(house), errors(house, "timeout")
        n = 10
        async with asyncio.timeout(60):
            while errors(house, "timeout") < failed + 3:  # many cool-downs pass, some probes fly
                await ask(house, fresh(n := n + 1))
                await asyncio.sleep(0.02)
        assert looked_up(house) == looked


async def test_an_idle_service_sees_that_redis_is_back(server):
    async with redis_rig(server.url, cooldown_s=0.05) as house:
        assert await ask(house) == {"miss"}
        server.kill()
        await ask(house, fresh(1))
        assert house.value("candor_redis_up") == 0
        server.start()
        await until(lambda: house.value("candor_redis_up") == 1)


async def test_slow_then_quick_again_is_used_again(server):
    async with proxy(server.port) as slow, redis_rig(slow.url, timeout_s=SHORT_S) as house:
        assert await ask(house) == {"miss"}
        slow.delay_s = 3 * SHORT_S
        for n in range(4):
            assert await ask(house, fresh(n)) == {"miss"}
        assert errors(house, "timeout") >= 3
        slow.delay_s = 0.0
        await used_again(house)


async def test_a_little_slow_is_waited_for(server):
    async with proxy(server.port) as slow, redis_rig(slow.url) as house:
        await ask(house)
        slow.delay_s = SHORT_S
        assert await ask(house) == {"hit"}


GARBAGE = [
    b"",
    b"\x00",
    b"garbage" * 1000,
    b"CNDR",
    b"CNDR" + SCHEMA.to_bytes(2, "little") + b"\x00" * 1000,
    b"\x80\x04\x95" + b"pickle" * 10,
    encode(built(), "k" * 64, SECRET),  # a true entry, of another question
    encode(built(), "k" * 64, cache_secret(b"another house")),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_under_our_keys_is_a_miss_and_is_replaced(server, garbage):
    async with redis_rig(server.url) as house:
        await ask(house)
        with server.client() as client:
            keys = client.keys()
            assert len(keys) == 6
            for key in keys:
                client.set(key, garbage)
        assert await ask(house) == {"miss"}
        malformed = sum(errors(house, r) for r in ("foreign", "truncated", "schema", "forged"))
        assert malformed == (6 if garbage else 0)  # an empty value reads as none at all
        assert await ask(house) == {"hit"}
        assert house.value("candor_redis_up") == 1


async def test_a_truncated_and_a_twisted_value_are_misses(server):
    async with redis_rig(server.url) as house:
        await ask(house)
        with server.client() as client:
            for number, key in enumerate(client.keys()):
                value = bytearray(client.get(key))
                if number % 2:
                    value[len(value) // 2] ^= 1
                else:
                    del value[len(value) // 2 :]
                client.set(key, bytes(value))
        assert await ask(house) == {"miss"}
        assert errors(house, "forged") == 6


async def test_a_value_of_another_type_is_a_miss_and_does_not_open_the_breaker(server):
    async with redis_rig(server.url) as house:
        await ask(house)
        with server.client() as client:
            keys = client.keys()
            client.flushall()
            for key in keys:
                client.rpush(key, "a", "b")
        for _ in range(5):
            assert await ask(house, explain_request(Gradient(), x=rows(2))) <= {"miss", "hit"}
        assert errors(house, "refused") >= 2
        assert errors(house, "open") == 0


async def test_entries_of_another_schema_are_not_even_looked_at(server, monkeypatch):
    monkeypatch.setattr(redis_cache, "SCHEMA", SCHEMA + 1)
    async with redis_rig(server.url) as newer:
        await ask(newer)
    monkeypatch.undo()
    async with redis_rig(server.url) as house:
        assert await ask(house) == {"miss"}
        assert errors(house, "schema") == 0


async def test_an_entry_of_another_schema_under_our_key_is_a_miss(server):
    async with redis_rig(server.url) as house:
        await ask(house)
        with server.client() as client:
            for key in client.scan_iter():
                value = bytearray(client.get(key))
                value[4:6] = (SCHEMA + 1).to_bytes(2, "little")
                client.set(key, bytes(value))
        assert await ask(house) == {"miss"}
        assert errors(house, "schema") == 6


async def test_a_full_redis_still_answers_what_it_has_and_the_rest_is_computed(server):
    async with redis_rig(server.url) as house:
        await ask(house)
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1mb")
        n = 0
        async with asyncio.timeout(60):
            while not errors(house, "open"):  # the write breaker: no more bytes sent in vain
                assert await ask(house, fresh(n := n + 1)) == {"miss"}
        assert errors(house, "refused") >= 3
        assert await ask(house) == {"hit"}  # while reading goes on
        assert house.value("candor_redis_up") == 1
        with server.client() as client:
            client.config_set("maxmemory", "0")
        async with asyncio.timeout(60):
            while await ask(house, fresh(100)) != {"hit"}:
                await asyncio.sleep(0.02)


async def test_a_read_only_replica_serves_and_says_that_it_does_not_store(server, tmp_path):
    (tmp_path / "replica").mkdir()
    replica = RedisServer(tmp_path / "replica")
    async with redis_rig(server.url) as house:
        await used_again(house)
    replica.start("--replicaof", "127.0.0.1", str(server.port))
    try:
        with replica.client() as client:
            await until(lambda: client.dbsize() == 6)
        async with redis_rig(replica.url) as house:
            assert await ask(house) == {"hit"}
            for n in range(5):
                assert await ask(house, fresh(n)) == {"miss"}
            assert errors(house, "refused") >= 3
            assert await ask(house) == {"hit"}
    finally:
        replica.kill()


async def test_a_server_that_speaks_no_redis_is_a_miss():
    def babble(reader, writer):  # no coroutine: the loop may end before it had its turn
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(range(256)))
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, redis_rig(f"redis://127.0.0.1:{port}/0") as house:
        for n in range(5):
            assert await ask(house, fresh(n)) == {"miss"}
        assert house.value("candor_redis_up") == 0
    await asyncio.sleep(0.01)  # sockets are closed in a later turn of the loop


async def test_a_wrong_password_is_a_miss(server):
    with server.client() as client:
        client.config_set("requirepass", "right")
    async with redis_rig(f"redis://:wrong@127.0.0.1:{server.port}/0") as house:
        assert await ask(house) == {"miss"}
        assert house.value("candor_redis_up") == 0


async def test_a_request_cancelled_in_mid_read_does_not_spoil_the_next(server):
    async with proxy(server.port) as slow, redis_rig(slow.url) as house:
        await ask(house)
        slow.delay_s = SHORT_S / 10
        for turn in range(10):
            asking = asyncio.create_task(house.engine.explain(REQUEST, NEVER))
            await asyncio.sleep(0.003 * turn)
            asking.cancel()
            await asyncio.wait({asking})
            assert await ask(house, explain_request(Gradient(), x=rows(2))) == {"hit"}
        assert sum(errors(house, reason) for reason in ("forged", "foreign", "truncated")) == 0


async def test_a_slow_redis_holds_no_more_than_a_bounded_number_of_stores(server):
    async with redis_rig(server.url, memory_bytes=1 << 20, timeout_s=120) as house:
        await ask(house)
        pending = []

        async def explain(n):
            # without a look, which would have to wait for a connection that stores have taken
            await house.engine.explain(replace(fresh(n), cache="refresh"), NEVER)
            pending.append(len(house.cache._pending))

        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", "600000", "WRITE")
            await asyncio.gather(*(explain(n) for n in range(150)))
            client.execute_command("CLIENT", "UNPAUSE")
        assert max(pending) == 64
        assert errors(house, "backlog") >= 1
        assert house.value("candor_cache_total", kind="explanation", status="miss") == 156


def entry_with(entry, **changes):
    """An entry like another, but for some of its parts."""
    attribution = {"values": None, "trust": None, "segments": None, "method": None}
    mine = {name: changes.pop(name) for name in attribution if name in changes}
    return replace(entry, attribution=replace(entry.attribution, **mine), **changes)


def trust_with(**changes):
    return lambda entry: entry_with(entry, trust={**entry.attribution.trust, **changes})


ONES = np.ones((1, 4), np.float32)
LIES = {
    "method": lambda entry: entry_with(entry, method="lime"),
    "shape": lambda entry: entry_with(entry, values=np.zeros((6, 7, 8), np.float32)),
    "size": lambda entry: entry_with(entry, values=np.zeros(5, np.float32)),
    "segments": lambda entry: entry_with(entry, segments=np.zeros((2, 2), np.int32)),
    "classes": lambda entry: entry_with(entry, scores=Scores(ONES, ONES)),
    "no scores": lambda entry: entry_with(entry, scores=None),
    "output": lambda entry: entry_with(entry, outputs={"other": ONES}),
    "output shape": lambda entry: entry_with(entry, outputs={"probabilities": ONES}),
    "output rank": lambda entry: entry_with(entry, outputs={"probabilities": ONES[None]}),
    "no trust": lambda entry: entry_with(entry, trust={}),
    "no target": trust_with(target=None),
    "target": trust_with(target={"plus": 3, "minus": None, "top": True}),
    "target type": trust_with(target={"plus": "0", "minus": None}),
    "score": trust_with(score="high"),
    "explained": trust_with(explained="everything"),
    "warnings": trust_with(warnings={"a": 1}),
    "complete": trust_with(complete=False),
}


@pytest.mark.parametrize("lie", LIES)
async def test_one_who_knows_the_secret_can_lie_but_not_break(server, lie):
    request = explain_request(Gradient(), x=rows(2))
    async with redis_rig(server.url, memory_bytes=1 << 20) as house:
        await ask(house, request)
        forged = []
        with server.client() as client:
            for name in client.scan_iter():
                key = name.decode().rpartition(":")[2]
                data = encode(LIES[lie](decode(client.get(name), key, SECRET)), key, SECRET)
                assert data is not None
                forged.append((name, data))
            for name, data in forged:
                client.set(name, data)
    async with redis_rig(server.url, memory_bytes=1 << 20) as house:
        assert await ask(house, request) == {"miss"}
        assert errors(house, "misfit") == 2
        assert await ask(house, request) == {"hit"}
