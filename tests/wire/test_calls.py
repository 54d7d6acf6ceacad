"""The frame of an RPC, around handlers of our own, over a real connection."""

import asyncio
import logging
import threading

import grpc
import pytest
from prometheus_client import CollectorRegistry

from candor import errors
from candor.metrics import UNKNOWN_MODEL, Metrics
from candor.result import ModelId
from candor.v1 import explanation_pb2 as pb
from candor.wire import calls
from candor.wire.calls import Frame, service_handler
from candor.wire.offload import LARGE_BYTES

SERVICE = pb.DESCRIPTOR.services_by_name["ExplanationService"]
NAME = SERVICE.full_name


@pytest.fixture
async def serve():
    """Serve routes; returns a channel to them and the metrics that they are counted in."""
    opened = []

    async def start(routes, max_message_bytes=10_000):
        metrics = Metrics(CollectorRegistry())
        server = grpc.aio.server()
        frame = Frame(metrics, max_message_bytes)
        server.add_generic_rpc_handlers([service_handler(NAME, SERVICE, routes, frame)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        opened.extend([channel.close, lambda: server.stop(None)])
        return channel, metrics

    yield start
    for close in opened:
        await close()


def unary(channel, method="Predict", payload=b"", **how):
    return channel.unary_unary(f"/{NAME}/{method}")(payload, **how)


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_defect_leaks_nothing_but_the_request_id_and_is_logged_whole(serve, caplog):
    async def broken(request, call):
        raise ZeroDivisionError("the secret of " + request.model)

    channel, _ = await serve({"Predict": broken})
    payload = pb.PredictRequest(model="m").SerializeToString()
    with caplog.at_level(logging.ERROR, "candor.access"):
        error = await failure(unary(channel, payload=payload, metadata=(("x-request-id", "r-1"),)))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "r-1" in error.details()
    trailers = b"".join(
        value if isinstance(value, bytes) else value.encode()
        for _, value in error.trailing_metadata()
    )
    assert b"secret" not in trailers + error.details().encode()
    (record,) = caplog.records
    assert record.request_id == "r-1"
    assert "the secret of m" in caplog.text


async def test_a_defect_told_as_internal_error_is_treated_alike(serve, caplog):
    async def broken(request, call):
        raise errors.InternalError("the secret")

    channel, _ = await serve({"Predict": broken})
    with caplog.at_level(logging.ERROR, "candor.access"):
        error = await failure(unary(channel))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert "the secret" in caplog.text


@pytest.mark.parametrize("large", [False, True])
async def test_a_large_message_is_parsed_and_an_answer_to_it_serialised_off_the_loop(
    serve, monkeypatch, large
):
    seen = {}

    def watch(name, function):
        def watched(*given):
            seen[name] = threading.current_thread() is threading.main_thread()
            return function(*given)

        monkeypatch.setattr(calls, name, watched)

    watch("_parse", calls._parse)
    watch("_written", calls._written)

    async def handler(request, call):
        return pb.PredictResponse()

    channel, _ = await serve({"Predict": handler})
    payload = pb.PredictRequest(model="m" * (LARGE_BYTES if large else 1)).SerializeToString()
    await unary(channel, payload=payload)
    assert seen == {"_parse": not large, "_written": not large}


async def test_what_is_counted_is_what_the_handler_found(serve):
    async def found(request, call):
        call.methods = ("cam", "lime")
        call.model = ModelId("m", "1", "d")
        return pb.PredictResponse()

    async def lost(request, call):
        call.methods = ("predict",)
        raise errors.NotFound("there is no model 'made up by the caller'")

    channel, metrics = await serve({"Predict": found, "Explain": lost})
    await unary(channel)
    await failure(unary(channel, "Explain"))

    def count(**labels):
        return metrics.registry.get_sample_value("candor_requests_total", labels)

    for method in ("cam", "lime"):
        assert count(model="m", version="1", method=method, code="OK") == 1
    assert count(model=UNKNOWN_MODEL, version="", method="predict", code="NOT_FOUND") == 1


async def test_the_callers_deadline_reaches_the_handler(serve):
    remaining = []

    async def handler(request, call):
        remaining.append(call.deadline.remaining_s())
        return pb.PredictResponse()

    channel, _ = await serve({"Predict": handler})
    await unary(channel, timeout=600)
    await unary(channel)
    assert 300 < remaining[0] < 601  # gRPC rounds the time on the wire up
    assert remaining[1] is None


async def test_hanging_up_cancels_the_handler_and_is_counted_as_cancelled(serve):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request, call):
        call.methods = ("predict",)
        started.set()
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()

    channel, metrics = await serve({"Predict": handler})
    call = unary(channel)
    await asyncio.wait_for(started.wait(), 60)
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), 60)
    labels = {"model": UNKNOWN_MODEL, "version": "", "method": "predict", "code": "CANCELLED"}
    assert metrics.registry.get_sample_value("candor_requests_total", labels) == 1


async def test_a_stream_may_fail_after_its_first_message(serve):
    async def handler(request, call):
        yield pb.ExplainStreamResponse(progress=pb.Progress(fraction=0.5))
        raise errors.TooLarge("enough")

    channel, _ = await serve({"ExplainStream": handler})
    stream = channel.unary_stream(f"/{NAME}/ExplainStream")(b"")
    first = pb.ExplainStreamResponse.FromString(await stream.read())
    assert first.progress.fraction == 0.5
    error = await failure(stream.read())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "enough"


async def test_leaving_a_stream_closes_the_handler(serve):
    closed = asyncio.Event()

    async def handler(request, call):
        try:
            while True:
                yield pb.ExplainStreamResponse()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    channel, _ = await serve({"ExplainStream": handler})
    stream = channel.unary_stream(f"/{NAME}/ExplainStream")(b"")
    await stream.read()
    stream.cancel()
    await asyncio.wait_for(closed.wait(), 60)


async def test_an_answer_over_the_limit_names_the_setting(serve):
    async def handler(request, call):
        return pb.PredictResponse(prediction=pb.Prediction(rows=[pb.Row()] * 6000))

    channel, _ = await serve({"Predict": handler})
    error = await failure(unary(channel))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_message_bytes" in error.details()


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x08"],
    ids=["tag", "cut short", "not UTF-8", "no value"],
)
async def test_bytes_that_are_no_message_are_the_callers_mistake(serve, payload):
    async def handler(request, call):
        return pb.PredictResponse()

    channel, _ = await serve({"Predict": handler})
    error = await failure(unary(channel, payload=payload))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "PredictRequest" in error.details()


async def test_a_method_without_a_route_is_unimplemented_by_name(serve):
    channel, _ = await serve({})
    error = await failure(unary(channel, "Estimate"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert f"/{NAME}/Estimate" in error.details()


async def test_a_message_in_any_language_arrives_whole(serve):
    async def handler(request, call):
        raise errors.InvalidInput("Größe 縦横 \n 100 %")

    channel, _ = await serve({"Predict": handler})
    assert (await failure(unary(channel))).details() == "Größe 縦横 \n 100 %"
