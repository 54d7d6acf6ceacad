"""Two whole servers that compute a long explanation once, over gRPC, whoever of them is lost."""

import shutil
import threading
import time
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest

from cache.redis_server import RedisServer
from candor.client import Client
from candor.errors import CandorError
from serving import REPOSITORY, Server, running

MODEL = "digits-lenet"
SAMPLES = 12_000
LOCKED = 'candor_cache_seconds_count{op="lock",tier="redis"}'
METHODS = [{"lime": {"n_samples": SAMPLES}}]


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
        "CANDOR_CACHE_LOCK": "true",
        "CANDOR_WORKERS": "1",
        # A crowded machine is no slow Redis; one that is killed refuses at once.
        "CANDOR_REDIS_TIMEOUT_MS": "30000",
    }
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(REPOSITORY / MODEL, models / MODEL)
    with (
        running(tmp_path_factory.mktemp("one"), models, environ) as one,
        running(tmp_path_factory.mktemp("two"), models, environ) as two,
    ):
        yield one, two


def perturbed(server: Server) -> float:
    """Rows that LIME ran so far."""
    return counted(server, f'candor_model_calls_total{{model="{MODEL}",program="perturb"}}')


def locks(server: Server, outcome: str) -> float:
    return counted(server, f'candor_cache_locks_total{{outcome="{outcome}"}}')


def counted(server: Server, series: str) -> float:
    with urllib.request.urlopen(f"{server.metrics_url}/metrics", timeout=60) as page:  # noqa: S310
        lines = page.read().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(series)), 0.0)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class Asked:
    """One question, asked of a server in a thread of its own."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.error: BaseException | None = None
        self._row = np.random.default_rng(seed).normal(size=(1, 1, 28, 28)).astype(np.float32)
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            with Client(self.server.grpc_target, attempts=1) as client:
                self.found = client.explain(
                    MODEL, METHODS, tensors={"image": self._row}, timeout_s=600
                ).of("lime")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the test's result
            self.error = error

    def answer(self):
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.found


def test_both_asked_at_once_compute_once(replicas):
    before = sum(map(perturbed, replicas))
    asked = sum(counted(server, LOCKED) for server in replicas)
    one, two = (Asked(server, 1) for server in replicas)
    until(lambda: sum(counted(server, LOCKED) for server in replicas) > asked + 1)
    assert sum(map(perturbed, replicas)) - before < SAMPLES, "too late to wait for it"
    first, second = one.answer(), two.answer()
    np.testing.assert_array_equal(first.values, second.values)
    assert {first.cache, second.cache} == {"miss", "coalesced"}
    assert sum(map(perturbed, replicas)) - before == SAMPLES
    assert sorted(locks(server, "waited") for server in replicas) == [0, 1]


def test_the_other_computes_when_redis_is_killed(replicas, redis):
    holder, waiter = replicas
    before = [perturbed(server) for server in replicas]
    first = Asked(holder, 3)
    until(lambda: perturbed(holder) > before[0])
    asked = counted(waiter, LOCKED)
    second = Asked(waiter, 3)
    until(lambda: counted(waiter, LOCKED) > asked)
    assert perturbed(waiter) == before[1]
    redis.kill()
    np.testing.assert_array_equal(first.answer().values, second.answer().values)
    gained = [perturbed(server) - old for server, old in zip(replicas, before, strict=True)]
    assert gained == [SAMPLES, SAMPLES]
    assert locks(waiter, "unreachable") == 1
    redis.start()
    up = "candor_redis_up"
    until(lambda: counted(holder, up) == counted(waiter, up) == 1)


def test_the_other_computes_when_the_holder_is_killed(replicas):
    holder, waiter = replicas
    before = [perturbed(server) for server in replicas]
    first = Asked(holder, 2)
    until(lambda: perturbed(holder) > before[0])
    asked = counted(waiter, LOCKED)
    second = Asked(waiter, 2)
    until(lambda: counted(waiter, LOCKED) > asked)
    assert perturbed(waiter) == before[1]
    holder.process.kill()
    assert second.answer().cache == "miss"
    assert perturbed(waiter) - before[1] == SAMPLES
    assert locks(waiter, "took_over") == 1
    with pytest.raises(CandorError):
        first.answer()
