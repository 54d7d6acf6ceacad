"""One who floods the server beside others who do not, and work that nobody waits for any more.

Who is who is told by connections: each `Flood` has one of its own.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from candor.client import Client
from candor.client.asking import explain_request
from candor.result import Array
from candor.v1 import explanation_pb2 as pb
from service.test_metrics import value
from serving import Server, running
from wire.protocol import infer_request

OWN = [("grpc.use_local_subchannel_pool", 1)]
INFER = "/inference.GRPCInferenceService/ModelInfer"
EXPLAIN_STREAM = "/candor.v1.ExplanationService/ExplainStream"
ENDLESS = ["gradient", {"lime": {"n_samples": 100_000, "segments": "grid"}}]
SHORT = [{"lime": {"n_samples": 30, "segments": "grid"}}]
PLACES = 6  # of long explanations: one for the worker, five beside; four of them take turns
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environ = {
        "CANDOR_WORKERS": "1",
        "CANDOR_PREDICT_QUEUE": "8",
        "CANDOR_EXPLAIN_QUEUE": str(PLACES - 1),
        "CANDOR_MAX_BATCH_SIZE": "1",
    }
    with running(tmp_path_factory.mktemp("small"), environ=environ) as server:
        yield server


@pytest.fixture
def polite(small: Server) -> Iterator[Client]:
    with Client(small.grpc_target, attempts=1) as client:
        yield client


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def fresh(n: int = 1) -> dict[str, Array]:
    return {"image": np.random.default_rng().normal(size=(n, 3, 64, 64)).astype(np.float32)}


class Flood:
    """Keeps more predictions under way than there is room for, until the block ends."""

    def __init__(self, server: Server, model: str = "photos") -> None:
        self.codes: Counter[str] = Counter()
        self._channel = grpc.insecure_channel(server.grpc_target, options=OWN)
        self._infer = self._channel.unary_unary(INFER)
        self._payload = infer_request(model, **fresh()).SerializeToString()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            calls = [self._infer.future(self._payload) for _ in range(32)]
            self.codes.update(call.code().name for call in calls)

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._channel.close()


def test_a_flood_of_predictions_refuses_its_own_and_nobody_else_s(
    small: Server, polite: Client
) -> None:
    with Flood(small) as flood:
        until(lambda: flood.codes["RESOURCE_EXHAUSTED"] > 0)
        for _ in range(5):
            assert polite.predict("photos", tensors=fresh()).rows
        with httpx.Client(base_url=small.http_url, timeout=60) as web:
            assert web.get("/v2/health/ready").status_code == 200
    assert set(flood.codes) == {"OK", "RESOURCE_EXHAUSTED"}


def test_a_flood_of_one_model_leaves_the_others_alone(small: Server, polite: Client) -> None:
    digits = {"image": np.zeros((1, 1, 28, 28), np.float32)}
    with Flood(small, "photos") as flood:
        until(lambda: flood.codes["RESOURCE_EXHAUSTED"] > 0)
        for _ in range(5):
            assert polite.predict("digits-lenet", tensors=digits).rows
            assert polite.explain("digits-lenet", ["gradient"], tensors=digits).answers


def inflight(server: Server, work_class: str = "bulk") -> float:
    return value(server, "candor_inflight", **{"class": work_class})


class Long:
    """Long explanations on a connection of their own, in this order; over when the block ends.

    Each comes when the one before it has its place: whoever is told of the gradient has.
    """

    def __init__(self, server: Server, count: int) -> None:
        self._server = server
        self._channel = grpc.insecure_channel(server.grpc_target, options=OWN)
        self._explain = self._channel.unary_stream(
            EXPLAIN_STREAM, response_deserializer=pb.ExplainStreamResponse.FromString
        )
        self._count = count
        self.calls: list[Any] = []

    def __enter__(self) -> "Long":
        for _ in range(self._count):
            asked = explain_request("photos", ENDLESS, {"tensors": fresh()})
            request = pb.ExplainStreamRequest(explain=asked)
            self.calls.append(self._explain(request.SerializeToString()))
            assert next(self.calls[-1]).progress.method == "gradient"
        return self

    def __exit__(self, *_: object) -> None:
        for call in self.calls:
            call.cancel()
        until(lambda: inflight(self._server) == 0)
        self._channel.close()


def turns(server: Server) -> float:
    """Long explanations that have run a slice."""
    labels = {"model": "photos", "class": "bulk"}
    return value(server, "candor_queue_seconds_count", **labels)


def test_one_long_explanation_is_answered_beside_a_house_full_of_another_caller_s(
    small: Server, polite: Client
) -> None:
    before = turns(small)
    with Long(small, PLACES) as flood:
        until(lambda: turns(small) - before >= 4)  # as many as take turns; the others wait
        assert polite.explain("photos", SHORT, tensors=fresh()).of("lime").complete
        until(lambda: any(call.done() for call in flood.calls))
        over = [call for call in flood.calls if call.done()]
        assert [call.code() for call in over] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert over[0] is flood.calls[-1]  # the one that came last
        assert "this caller has most of them" in over[0].details()
        assert "grpc-retry-pushback-ms" in dict(over[0].trailing_metadata())


def runs(server: Server) -> float:
    """Rows of photographs that LIME has run."""
    return value(server, "candor_model_calls_total", model="photos", program="perturb")


def test_a_cancelled_explanation_gives_the_worker_back_within_a_slice(
    small: Server, polite: Client
) -> None:
    with Long(small, 1):
        before = runs(small)
        until(lambda: runs(small) > before)
    at_most = runs(small) + 256  # the slice that ran when the call was over may have counted since
    # Another explanation needs the only worker, to its end: nothing else is in its way.
    digits = {"image": np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)}
    for _ in range(2):
        answer = polite.explain("digits-lenet", ["occlusion"], tensors=digits, cache="bypass")
        assert answer.of("occlusion").complete
    ended = runs(small)
    assert ended <= at_most
    polite.explain("digits-lenet", ["occlusion"], tensors=digits, cache="bypass")
    assert runs(small) == ended
    assert value(small, "candor_queue_depth") == 0


def test_work_past_its_deadline_is_not_run(small: Server) -> None:
    """Predictions whose time is over before the worker is free never reach the model."""
    labels = {"model": "photos", "program": "predict"}
    with (
        Long(small, 1),
        grpc.insecure_channel(small.grpc_target, options=OWN) as channel,
    ):
        began = runs(small)
        until(lambda: runs(small) > began)  # it has the only worker
        rows = value(small, "candor_model_calls_total", **labels)
        infer = channel.unary_unary(INFER)
        late = [
            infer.future(
                infer_request("photos", parameters={"timeout": 1}, **fresh()).SerializeToString()
            )
            for _ in range(4)
        ]
        assert {call.code() for call in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert value(small, "candor_model_calls_total", **labels) == rows
