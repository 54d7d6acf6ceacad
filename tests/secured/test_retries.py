"""The clients try again what is worth it, against servers that are really gone or busy."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import numpy as np
import pytest

from candor import errors
from candor.client import AsyncClient, Client
from candor.v1.model_pb2 import GetModelResponse, Model
from secured.conftest import KEYS, MODEL
from serving import running
from wire.protocol import get

LONG = [{"lime": {"n_samples": 100_000, "segments": "grid"}}]


def rows(n=1):
    return {"image": np.random.default_rng().normal(size=(n, 1, 28, 28)).astype(np.float32)}


class Balancer:
    """Forwards connections to one server at a time, as what stands before replicas does."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.address = "{}:{}".format(*server.sockets[0].getsockname())
        self._listening.set()
        async with server:
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

    async def _forward(self, reader, writer):
        host, _, port = self.target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    @contextmanager
    def running(self) -> Iterator["Balancer"]:
        def run():
            asyncio.set_event_loop(self._loop)
            self._task = self._loop.create_task(self.serve())
            self._loop.run_until_complete(self._task)
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        assert self._listening.wait(60)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._task.cancel)
            thread.join()


async def _pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def under_way(server):
    """Long explanations in the house."""
    lines = get(f"{server.metrics_url}/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith('candor_inflight{class="bulk')]
    return sum(float(line.split()[-1]) for line in counts)


@pytest.fixture
def replicas(tmp_path, models):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    environ = {"CANDOR_WORKERS": "1"}
    with (
        running(tmp_path / "a", models, environ) as first,
        running(tmp_path / "b", models, environ) as second,
        Balancer(first.grpc_target).running() as balancer,
    ):
        yield first, second, balancer
        second.process.kill()


async def test_a_server_that_dies_in_the_middle_of_a_call_costs_nothing_but_time(replicas):
    first, second, balancer = replicas
    asking = rows()
    with Client(balancer.address) as patient, Client(balancer.address, attempts=1) as hasty:
        async with AsyncClient(balancer.address) as waiting:
            calls = [
                asyncio.create_task(
                    asyncio.to_thread(patient.explain, MODEL, LONG, tensors=asking)
                ),
                asyncio.create_task(waiting.explain(MODEL, LONG, tensors=asking)),
                asyncio.create_task(asyncio.to_thread(hasty.explain, MODEL, LONG, tensors=asking)),
            ]
            while await asyncio.to_thread(under_way, first) < len(calls):
                assert not any(call.done() for call in calls)
            balancer.target = second.grpc_target
            first.process.kill()
            one, other, failed = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(failed, errors.Unavailable)
    with Client(second.grpc_target) as client:
        again = client.explain(MODEL, LONG, tensors=asking).of("lime")
    assert again.cache == "hit"
    np.testing.assert_array_equal(again.values, one.of("lime").values)
    np.testing.assert_array_equal(again.values, other.of("lime").values)


def counted(server, *labels):
    """Answers that were counted under these labels."""
    lines = get(f"{server.metrics_url}/metrics").text.splitlines()
    counts = [
        line for line in lines
        if line.startswith("candor_requests_total{") and all(label in line for label in labels)
    ]  # fmt: skip
    return sum(float(line.split()[-1]) for line in counts)


def test_what_is_refused_for_now_is_tried_again_when_the_server_says(guarded):
    before = counted(guarded, 'method="(refused)"')
    with (
        Client(guarded.grpc_target, api_key=KEYS["paced"], attempts=5) as client,
        ThreadPoolExecutor(3) as threads,
    ):
        assert all(threads.map(lambda _: client.models(), range(3)))  # at once, and one may come
    assert counted(guarded, 'method="(refused)"') > before


def test_with_one_attempt_the_refusal_is_told(guarded):
    with (
        Client(guarded.grpc_target, api_key=KEYS["paced"], attempts=1) as client,
        ThreadPoolExecutor(20) as threads,
        pytest.raises(errors.Overloaded) as caught,
    ):
        list(threads.map(lambda _: client.models(), range(40)))  # far more at once than may come
    assert 0 < caught.value.retry_after_s <= 0.2


def test_what_will_never_do_is_not_tried_again(guarded):
    def refused():
        wanted = ('method="gradient"', 'code="RESOURCE_EXHAUSTED"')
        return counted(guarded, *wanted)

    keep = [{"gradient": {"channels": "keep"}}]
    wide = {"image": np.zeros((12, 1, 28, 28), np.float32)}
    before = refused()
    with (
        Client(guarded.grpc_target, api_key=KEYS["all"], attempts=5) as client,
        pytest.raises(errors.TooLarge, match="fewer rows, targets or outputs"),
    ):
        client.explain(MODEL, keep, tensors=wide, targets=[list(range(10))])
    assert refused() == before + 1


def test_waiting_ends_with_the_deadline():
    with (
        Client("127.0.0.1:1", attempts=5) as nobody,
        pytest.raises((errors.Unavailable, errors.DeadlineExceeded)),
    ):
        nobody.models(timeout_s=0.2)


@pytest.mark.parametrize("attempts", [0, 6, -1])
def test_no_other_number_of_attempts_is_taken(attempts):
    with pytest.raises(errors.InvalidOption, match="expected 1 to 5"):
        Client("127.0.0.1:1", attempts=attempts)


class Stopping(grpc.GenericRpcHandler):
    """What gRPC does in the instant when it stops: it ends calls with CANCELLED, the first n."""

    def __init__(self, n: int) -> None:
        self.n, self.n_asked = n, 0

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, _, context):
        self.n_asked += 1
        if self.n_asked <= self.n:
            context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return GetModelResponse(model=Model()).SerializeToString()


@contextmanager
def stopping(n):
    handler = Stopping(n)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield handler, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_call_that_a_stopping_server_never_took_is_tried_again():
    with stopping(1) as (server, target), Client(target) as client:
        client.model(MODEL)
        assert server.n_asked > 1
    with stopping(9) as (server, target), Client(target, attempts=1) as client:
        with pytest.raises(errors.Cancelled):
            client.model(MODEL)
        assert server.n_asked == 1


def test_what_its_caller_cancels_is_not_tried_again(replicas):
    server, _, _ = replicas
    client = Client(server.grpc_target)
    ends = []

    def explain():
        try:
            client.explain(MODEL, LONG, tensors=rows(32))
        except errors.CandorError as error:
            ends.append(error)

    asking = threading.Thread(target=explain)
    asking.start()
    while not under_way(server):
        assert asking.is_alive()
    client.close()
    asking.join()
    assert [type(end) for end in ends] == [errors.Cancelled]
    while under_way(server):
        pass
    assert counted(server, MODEL) == 1
