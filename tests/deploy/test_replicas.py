"""Several candors behind one haproxy and before one Redis: lost, stopped and added under load."""

import json
import shutil
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from cache.redis_server import RedisServer
from candor.client import Client
from candor.errors import Unavailable
from candor.inference.v2.grpc_service_pb2 import ModelInferRequest, ModelInferResponse
from deploy.replicas import CONFIG, Replicas, balanced, replicas, until
from serving import REPOSITORY, Server

MODEL = "digits-lenet"
METHODS = ["gradient", {"lime": {"n_samples": 50}}]
STORED = "candor_cache_seconds_count"
# What a caller without candor's own client hands to gRPC.
RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Three replicas of one model."""
    folder = tmp_path_factory.mktemp("replicas")
    shutil.copytree(REPOSITORY / MODEL, folder / "models" / MODEL)
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    redis.start()
    environ = {
        "CANDOR_REDIS_URL": redis.url,
        "CANDOR_REDIS_TIMEOUT_MS": "60000",  # a crowded machine is no Redis that is away
        "CANDOR_DRAIN_S": "10",
    }
    try:
        with replicas(folder, folder / "models", environ) as made:
            made.add(3)
            yield made
    finally:
        redis.kill()


@pytest.fixture(scope="module")
def door(house: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with balanced(tmp_path_factory.mktemp("proxy"), house) as address:
        with Client(address) as client:
            until(lambda: answers(client))  # the proxy may be there before it knows the replicas
        yield address


def answers(client: Client) -> bool:
    try:
        client.wait_ready(timeout_s=60)
    except Unavailable:
        return False
    return True


def counted(server: Server, name: str, *labels: str) -> float:
    """The sum of a counter's series that have these labels; 0 of a server that is gone."""
    if server.process.poll() is not None:
        return 0
    with urllib.request.urlopen(f"{server.metrics_url}/metrics", timeout=60) as page:  # noqa: S310
        lines = page.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{")]
    return sum(float(line.split()[-1]) for line in found if all(label in line for label in labels))


def rows(n: int) -> dict[str, np.ndarray]:
    """A row of its own for each number."""
    return {"image": np.random.default_rng(n).normal(size=(1, 1, 28, 28)).astype(np.float32)}


def by_client(target: str, turn: int) -> None:
    """One call of candor's own client, which is made once and kept."""
    client = _CLIENTS.setdefault(threading.get_ident(), Client(target))
    if turn % 3:
        client.predict(MODEL, tensors=rows(turn), timeout_s=60)
    else:
        client.explain(MODEL, METHODS, tensors=rows(turn % 12), timeout_s=60)


def by_stub(target: str, turn: int) -> None:
    """One call of a stub that knows nothing of candor."""
    options = [("grpc.service_config", json.dumps(RETRIES))]
    channel = _CHANNELS.setdefault(threading.get_ident(), grpc.insecure_channel(target, options))
    request = ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="image", datatype="FP32", shape=[1, 1, 28, 28])
    request.raw_input_contents.append(rows(turn)["image"].tobytes())
    infer = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        ModelInferRequest.SerializeToString,
        ModelInferResponse.FromString,
    )
    answer = infer(request, timeout=60)
    assert len(answer.raw_output_contents) == 1


_CLIENTS: dict[int, Client] = {}
_CHANNELS: dict[int, grpc.Channel] = {}


class Callers:
    """Threads that ask without a pause until the block ends."""

    def __init__(self, target: str, ways: list[Callable[[str, int], None]]) -> None:
        self.failures: list[BaseException] = []
        self.answered = [0] * len(ways)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(target, number, way))
            for number, way in enumerate(ways)
        ]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, target: str, number: int, way: Callable[[str, int], None]) -> None:
        while not self._stop.is_set():
            try:
                way(target, self.answered[number])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the test's result
                self.failures.append(error)
            self.answered[number] += 1
            # A pause, so that the callers do not take the cores from those whom they call.
            self._stop.wait(0.01)


def test_what_one_replica_computed_all_of_them_know(house: Replicas, door: str) -> None:
    with Client(door) as client:
        first = client.explain(MODEL, METHODS, tensors=rows(10_000))
    assert {answer.cache for answer in first.answers} == {"miss"}
    three = list(house.by_address.values())
    # Redis has them a moment after the caller.
    until(lambda: sum(counted(s, STORED, '"redis"', '"put"') for s in three) >= len(METHODS))
    computed = [counted(s, "candor_cache_total", '"explanation"', '"miss"') for s in three]
    assert sorted(computed) == [0, 0, len(METHODS)]
    for server in three:
        with Client(server.grpc_target) as client:

            def known(client: Client = client) -> bool:
                again = client.explain(MODEL, METHODS, tensors=rows(10_000))
                for a, b in zip(first.answers, again.answers, strict=True):
                    np.testing.assert_array_equal(a.values, b.values)
                return {answer.cache for answer in again.answers} == {"hit"}

            assert known()
    assert sum(counted(s, "candor_cache_total", '"explanation"', '"miss"') for s in three) == 2


def test_replicas_lost_stopped_and_added_under_load_fail_no_request(
    house: Replicas, door: str
) -> None:
    def answers(address: str) -> float:
        return counted(house.by_address[address], "candor_requests_total", '"OK"')

    def busy(*addresses: str) -> Callable[[], bool]:
        before = {address: answers(address) for address in addresses}
        return lambda: all(answers(address) > before[address] + 3 for address in addresses)

    lost, stopped, stays = house.by_address
    with Callers(door, [by_client, by_client, by_stub, by_stub]) as callers:
        until(busy(lost, stopped, stays))
        house.kill(lost)
        until(busy(stopped, stays))
        (added,) = house.add()
        house.forget(lost)
        until(busy(added))
        house.by_address[stopped].process.send_signal(signal.SIGTERM)
        assert house.by_address[stopped].process.wait(timeout=300) == 0
        until(busy(added, stays))
    assert callers.failures == []
    assert min(callers.answered) > 10


def test_clients_balance_over_replicas_themselves_and_leave_out_the_lost(house: Replicas) -> None:
    """As behind a headless service: the name stands for all, those that are gone among them."""
    port = house.ports[0]
    target = f"ipv4:{','.join(f'{address}:{port}' for address in house.by_address)}"
    alive = [server for server in house.by_address.values() if server.process.poll() is None]

    def asked() -> list[float]:
        return [counted(server, "candor_requests_total", '"OK"') for server in alive]

    with Client(target) as client, Client(target, attempts=1) as hasty:
        for each in (client, hasty):
            each.wait_ready(timeout_s=60)
            idle = asked()  # until it is connected to all of them

            def reaches_all(each: Client = each, idle: list[float] = idle) -> bool:
                each.predict(MODEL, tensors=rows(0), timeout_s=60)
                return all(new > old for new, old in zip(asked(), idle, strict=True))

            until(reaches_all)
        before = asked()
        for turn in range(10):
            client.predict(MODEL, tensors=rows(turn), timeout_s=60)
            hasty.predict(MODEL, tensors=rows(turn), timeout_s=60)
    assert len(alive) >= 2
    gained = [new - old for new, old in zip(asked(), before, strict=True)]
    assert sum(gained) == 20
    assert min(gained) >= 5


def test_both_proxies_have_the_same_replicas() -> None:
    plain, encrypted = (
        file.read_text("utf-8").partition("\nbackend candor\n")[2]
        for file in (CONFIG, CONFIG.parents[1] / "tls" / "haproxy.cfg")
    )
    assert "server candor1 " in plain
    assert plain == encrypted
