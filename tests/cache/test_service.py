"""Two whole servers before one Redis, over gRPC."""

import threading
import time
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest

from cache.redis_server import RedisServer
from candor.client import Client
from serving import Server, running

METHODS = ["gradient", {"lime": {"n_samples": 60}}]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def replicas(redis, tmp_path_factory):
    environ = {
        "CANDOR_REDIS_URL": redis.url,
        "CANDOR_REDIS_TIMEOUT_MS": "30000",  # a crowded machine is no slow Redis
        "CANDOR_CACHE_MEMORY_BYTES": "0",
    }
    with (
        running(tmp_path_factory.mktemp("one"), environ=environ) as one,
        running(tmp_path_factory.mktemp("two"), environ=environ) as two,
    ):
        yield one, two


def scrape(server: Server, name: str) -> float:
    """The value of a metric without labels."""
    with urllib.request.urlopen(f"{server.metrics_url}/metrics", timeout=60) as response:  # noqa: S310
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def up(replicas: tuple[Server, Server]) -> list[float]:
    """Whether each replica thinks that Redis answers."""
    return [scrape(server, "candor_redis_up") for server in replicas]


def stored(redis: RedisServer) -> int:
    """How many answers Redis holds."""
    with redis.client() as client:
        return len(client.keys("candor:*"))


def eventually(holds: Callable[[], bool], within_s: float = 60) -> None:
    """Wait until it holds, or fail."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def sentence(n: int) -> str:
    return f"a film of {n} quiet moments and one very loud ending"


def ask(client: Client, text: str):
    explanation = client.explain("sentences", METHODS, texts=[text])
    return {answer.cache for answer in explanation.answers}, explanation


def test_what_one_replica_explained_the_other_knows(replicas, redis):
    with Client(replicas[0].grpc_target) as one, Client(replicas[1].grpc_target) as two:
        _, first = ask(one, sentence(1))
        # The first answer is stored behind its delivery, so the second replica may be too early:
        # what it then computes itself, it would find again. Ask it only once the answer is stored.
        eventually(lambda: stored(redis) == len(METHODS))
        statuses, known = ask(two, sentence(1))
        assert statuses == {"hit"}
        for answer, again in zip(first.answers, known.answers, strict=True):
            assert answer.cache_key == again.cache_key
            np.testing.assert_array_equal(answer.values, again.values)
        np.testing.assert_array_equal(first.prediction.scores, known.prediction.scores)
        assert scrape(replicas[1], "candor_redis_up") == 1


def test_redis_killed_and_restarted_under_load_fails_no_request(replicas, redis):
    stop = threading.Event()
    answered: list[int] = []
    failures: list[BaseException] = []

    def caller(number: int) -> None:
        turn = 0
        try:
            with Client(replicas[number % 2].grpc_target) as client:
                while not stop.is_set():
                    ask(client, sentence(number * 1000 + turn % 5))
                    turn += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the test's result
            failures.append(error)
        answered.append(turn)

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
    for thread in callers:
        thread.start()
    try:
        eventually(lambda: up(replicas) == [1, 1])
        redis.kill()
        eventually(lambda: up(replicas) == [0, 0])
        redis.start()
        eventually(lambda: up(replicas) == [1, 1])
    finally:
        stop.set()
        for thread in callers:
            thread.join()
    assert failures == []
    assert min(answered) > 0
    with Client(replicas[0].grpc_target) as client:
        eventually(lambda: ask(client, sentence(7))[0] == {"hit"})
