"""Traces of a real server, as a real collector gets them."""

import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from candor.inference.v2 import grpc_service_pb2 as pb
from serving import ROOT, Server, running
from tracing.collector import Collector, collecting
from wire.protocol import infer_request

SERVICE = "/inference.GRPCInferenceService/"


def traced(collector: Collector, **more: str) -> Mapping[str, str]:
    paths = [str(ROOT / "service"), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    return {
        "CANDOR_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PYTHONPATH": ":".join(paths),
        **more,
    }


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def watched(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is traced; one slot, so that requests come to share runs."""
    environ = traced(
        collector, OTEL_SERVICE_NAME="wardrobe", CANDOR_WORKERS="1", CANDOR_MAX_QUEUE_DELAY_MS="200"
    )
    with running(tmp_path_factory.mktemp("log"), environ=environ) as found:
        yield found


@pytest.fixture(scope="module")
def channel(watched: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(watched.grpc_target) as found:
        yield found


def parent(*, sampled: bool = True) -> tuple[str, str, str]:
    """A caller's trace: its id, its span's id, and the header that says both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-0{int(sampled)}"


def call(channel: grpc.Channel, method: str, request, response, header: str):
    ask = channel.unary_unary(
        method,
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return ask(request, metadata=(("traceparent", header),), timeout=60)


def infer(channel: grpc.Channel, header: str, name: str = "digits-lenet", **parameters):
    row = np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)
    request = infer_request(name, parameters=parameters, image=row)
    return call(channel, SERVICE + "ModelInfer", request, pb.ModelInferResponse, header)


def attributes(span: Span) -> dict[str, object]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def tree(spans: list[Span]) -> dict[str, list[str]]:
    """Names of the children by the name of their parent."""
    names = {span.span_id: span.name for span in spans}
    found: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda span: span.start_time_unix_nano):
        found.setdefault(names.get(span.parent_span_id, ""), []).append(span.name)
    return found


def check_times(spans: list[Span]) -> None:
    """Every span lies within its parent, up to a tenth of a millisecond of rounding."""
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if (outer := by_id.get(span.parent_span_id)) is not None:
            assert span.start_time_unix_nano >= outer.start_time_unix_nano - 10**5, span.name
            assert span.end_time_unix_nano <= outer.end_time_unix_nano + 10**5, span.name


def test_a_prediction_is_a_child_of_the_callers_span_with_its_queue_batch_and_program(
    channel: grpc.Channel, collector: Collector
) -> None:
    trace, span, header = parent()
    began = time.time_ns()
    infer(channel, header)
    spans = collector.trace(trace)
    root = next(one for one in spans if one.kind == Span.SPAN_KIND_SERVER)
    assert root.parent_span_id.hex() == span
    assert root.name == SERVICE[1:] + "ModelInfer"
    assert began <= root.start_time_unix_nano <= root.end_time_unix_nano
    assert tree(spans) == {
        "": [root.name],
        root.name: ["read", "queue", "batch", "write"],
        "batch": ["program predict"],
    }
    check_times(spans)
    said = attributes(root)
    assert said["candor.model"] == "digits-lenet"
    assert said["candor.methods"] == "predict"
    assert said["rpc.grpc.status_code"] == "OK"
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert {"service.name": "wardrobe"}.items() <= collector.resources[0].items()


def test_an_explanation_shows_its_cache_its_explaining_and_the_runs_of_each_slice(
    channel: grpc.Channel, collector: Collector
) -> None:
    row = np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)
    request = infer_request(
        "digits-lenet", parameters={"candor.explain": "gradient,lime"}, image=row
    )
    found = {}
    for turn in ("miss", "hit"):
        trace, _, header = parent()
        call(channel, SERVICE + "ModelInfer", request, pb.ModelInferResponse, header)
        found[turn] = collector.trace(trace)
        check_times(found[turn])
    root = SERVICE[1:] + "ModelInfer"
    fresh, known = tree(found["miss"]), tree(found["hit"])
    assert {"read", "cache", "explain", "write"} <= set(fresh[root])
    assert {"queue", "batch", "slice"} <= set(fresh["explain"])
    assert "program gradient" in fresh["batch"]
    assert set(fresh["slice"]) == {"program perturb"}
    assert "slice" not in known
    assert "batch" not in known
    said = {turn: attributes(next(s for s in of if s.name == root)) for turn, of in found.items()}
    assert {turn: of["candor.cache"] for turn, of in said.items()} == {"miss": "miss", "hit": "hit"}


def test_a_run_that_several_share_is_told_once_and_links_to_all_of_them(
    channel: grpc.Channel, collector: Collector
) -> None:
    for _ in range(100):
        infer(channel, parent()[2])  # finds out that rows may share a run
        traces = [parent() for _ in range(4)]
        asking = [threading.Thread(target=infer, args=(channel, of[2])) for of in traces]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        spans = {of[0]: collector.trace(of[0]) for of in traces}
        batches = [one for of in spans.values() for one in of if one.name == "batch"]
        shared = [one for one in batches if attributes(one)["candor.requests"] > 1]
        if shared:
            break
    else:
        raise AssertionError("no requests came to share a run")
    assert len(batches) < 4
    for one in shared:
        linked = {(link.trace_id.hex(), link.span_id) for link in one.links}
        assert len(linked) == attributes(one)["candor.requests"]
        roots = {
            (trace, s.span_id)
            for trace, of in spans.items()
            for s in of
            if s.kind == s.SPAN_KIND_SERVER
        }
        assert linked <= roots
    # each waited by itself
    assert all(sum(one.name == "queue" for one in of) == 1 for of in spans.values())


def test_a_failure_of_ours_is_an_error_and_a_mistake_of_the_callers_is_not(
    channel: grpc.Channel, collector: Collector
) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="photos")  # not allowed here
    response = pb.RepositoryModelLoadResponse

    def load(header: str):
        return call(channel, SERVICE + "RepositoryModelLoad", request, response, header)

    def unknown(header: str):
        return infer(channel, header, name="nobody")

    for ask, code, status in (
        (load, "UNAVAILABLE", Status.STATUS_CODE_ERROR),
        (unknown, "NOT_FOUND", Status.STATUS_CODE_UNSET),
    ):
        trace, _, header = parent()
        with pytest.raises(grpc.RpcError):
            ask(header)
        (root,) = collector.trace(trace)
        assert attributes(root)["rpc.grpc.status_code"] == code
        assert root.status.code == status


def test_a_caller_over_http_says_its_trace_in_the_header(
    watched: Server, collector: Collector
) -> None:
    trace, span, header = parent()
    row = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [0.5] * 784}
    answer = httpx.post(
        f"{watched.http_url}/v2/models/digits-lenet/infer",
        json={"inputs": [row]},
        headers={"traceparent": header},
        timeout=60,
    )
    assert answer.status_code == 200
    spans = collector.trace(trace)
    root = next(one for one in spans if one.kind == Span.SPAN_KIND_SERVER)
    assert root.parent_span_id.hex() == span
    assert "batch" in tree(spans)[root.name]


def test_what_the_caller_does_not_sample_is_not_traced_nor_what_it_says_is_rubbish_refused(
    channel: grpc.Channel, collector: Collector
) -> None:
    unsampled, _, header = parent(sampled=False)
    infer(channel, header)
    infer(channel, "00-rubbish")
    trace, _, last = parent()
    infer(channel, last)
    collector.trace(trace)
    assert not [span for span in collector.spans if span.trace_id.hex() == unsampled]


def test_each_message_of_a_stream_is_a_span_below_the_streams(
    channel: grpc.Channel, collector: Collector
) -> None:
    trace, _, header = parent()
    row = np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)
    requests = [infer_request("digits-lenet", image=row) for _ in range(2)]
    ask = channel.stream_stream(
        SERVICE + "ModelStreamInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelStreamInferResponse.FromString,
    )
    assert len(list(ask(iter(requests), metadata=(("traceparent", header),), timeout=60))) == 2
    ends = time.monotonic() + 30
    while len(roots := [s for s in collector.trace(trace) if s.kind == s.SPAN_KIND_SERVER]) < 3:
        assert time.monotonic() < ends
        time.sleep(0.1)
    (outer,) = [s for s in roots if s.parent_span_id not in {one.span_id for one in roots}]
    assert [s.parent_span_id for s in roots if s is not outer] == [outer.span_id] * 2


def test_the_environment_says_what_share_is_sampled(tmp_path: Path, collector: Collector) -> None:
    environ = traced(
        collector, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0"
    )
    with running(tmp_path, environ=environ) as server:
        before = len(collector.spans)
        url = f"{server.http_url}/v2/models/digits-lenet"
        assert httpx.get(url, timeout=60).status_code == 200
        trace, _, header = parent()
        found = httpx.get(url, headers={"traceparent": header}, timeout=60)
        assert found.status_code == 200
        collector.trace(trace)
        assert server.stop() == 0
        assert {span.trace_id.hex() for span in collector.spans[before:]} == {trace}


def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    environ = traced(Collector(address="http://127.0.0.1:1"))
    with running(tmp_path, environ=environ) as server:
        for _ in range(20):
            found = httpx.get(f"{server.http_url}/v2/models/digits-lenet", timeout=60)
            assert found.status_code == 200
        assert server.stop() == 0  # which waits for a minute at most
