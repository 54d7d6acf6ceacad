"""Two replicas and one Redis: shared answers, and a Redis that is killed and started again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cache.redis_server import RedisServer
from candor.client import Client
from candor.result import Array
from service.test_metrics import value
from serving import Server, running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def replica(redis: RedisServer, tmp_path: Path) -> Iterator[Server]:
    environ = {"CANDOR_REDIS_URL": redis.url, "CANDOR_CACHE_NAMESPACE": "test"}
    (tmp_path / "one").mkdir()
    with running(tmp_path / "one", environ=environ) as found:
        yield found


def row(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {"image": rng.normal(size=(1, 3, 64, 64)).astype(np.float32)}


def test_what_one_replica_computed_the_other_has(
    redis: RedisServer, replica: Server, tmp_path: Path
) -> None:
    environ = {"CANDOR_REDIS_URL": redis.url, "CANDOR_CACHE_NAMESPACE": "test"}
    (tmp_path / "two").mkdir()
    with (
        running(tmp_path / "two", environ=environ) as other,
        Client(replica.grpc_target) as here,
        Client(other.grpc_target) as there,
    ):
        first = here.explain("photos", ["grad_cam"], tensors=row(1)).of("grad_cam")
        _eventually(lambda: _keys(redis) == 1)
        second = there.explain("photos", ["grad_cam"], tensors=row(1)).of("grad_cam")
        assert (first.cache, second.cache) == ("miss", "hit")
        assert first.cache_key == second.cache_key
        np.testing.assert_array_equal(first.values, second.values)
        assert value(other, "candor_model_calls_total", model="photos") == 0


def test_no_request_fails_while_redis_is_killed_and_started_again(
    redis: RedisServer, replica: Server
) -> None:
    stop = threading.Event()
    failures: list[Exception] = []
    served: list[int] = []

    def ask(worker: int) -> None:
        with Client(replica.grpc_target) as client:
            count = 0
            while not stop.is_set():
                try:
                    client.explain("photos", ["cam"], tensors=row(100 * worker + count % 20))
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                    failures.append(error)
                count += 1
            served.append(count)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    _eventually(lambda: _keys(redis) > 3)
    redis.kill()
    _eventually(lambda: value(replica, "candor_redis_up") == 0)
    redis.start()
    _eventually(lambda: _keys(redis) > 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(served) > 20
    _eventually(lambda: value(replica, "candor_redis_up") == 1)


def _keys(redis: RedisServer) -> int:
    with redis.client() as client:
        return len(client.keys("candor:test:*"))


def _eventually(holds, within_s: float = 30.0) -> None:
    pause = threading.Event()
    for _ in range(int(within_s / 0.05)):
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError("it did not happen")
