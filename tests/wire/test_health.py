"""grpc.health.v1 by its own stub, and the HTTP probes: one set of facts."""

import signal
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthStub

from serving import running
from wire.protocol import Protocol, get

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture(scope="module")
def health(oip):
    return HealthStub(oip.channel)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "liveness",
        "readiness",
        "model/photos",
        "model/sentences",
        "inference.GRPCInferenceService",
        "candor.v1.ExplanationService",
    ],
)
def test_what_is_served_is_serving(health, name):
    assert health.Check(pb.HealthCheckRequest(service=name)).status == SERVING


def test_a_name_that_stands_for_nothing_is_not_found_and_the_message_says_what_does(health):
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(pb.HealthCheckRequest(service="model/fotos"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "'readiness'" in caught.value.details()
    assert "'model/<name>'" in caught.value.details()
    assert "photos" not in caught.value.details()


def test_watch_answers_at_once_even_for_what_is_unknown(health):
    for name, status in (("readiness", SERVING), ("model/fotos", SERVICE_UNKNOWN)):
        stream = health.Watch(pb.HealthCheckRequest(service=name))
        assert next(stream).status == status
        stream.cancel()


def test_probes_answer_on_both_http_ports(server):
    for base in (server.http_url, server.metrics_url):
        assert (get(f"{base}/healthz/live").status, get(f"{base}/healthz/live").text) == (
            200,
            "live\n",
        )
        assert (get(f"{base}/healthz/ready").status, get(f"{base}/healthz/ready").text) == (
            200,
            "ready\n",
        )
        assert get(f"{base}/nothing").status == 404


def test_metrics_are_exposed_as_text_and_as_openmetrics_if_asked(server):
    plain = get(f"{server.metrics_url}/metrics")
    assert plain.kind.startswith("text/plain")
    assert "candor_model_info{" in plain.text
    asked = get(
        f"{server.metrics_url}/metrics", accept="application/openmetrics-text; version=1.0.0"
    )
    assert asked.kind.startswith("application/openmetrics-text")
    assert asked.text.rstrip().endswith("# EOF")
    assert get(f"{server.http_url}/metrics").status == 404


def test_draining_tells_the_watchers_and_a_watcher_does_not_hold_it_up(tmp_path):
    with running(tmp_path) as server:
        protocol = Protocol(server.grpc_target)
        stream = HealthStub(protocol.channel).Watch(pb.HealthCheckRequest(service="readiness"))
        seen, ready = [], threading.Event()

        def watch():
            for answer in stream:
                seen.append(answer.status)
                ready.set()
            seen.append(stream.code())

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert ready.wait(120)
        server.process.send_signal(signal.SIGTERM)
        watcher.join(120)
        # An error would tell no more, and make the client drop a status that it has not read yet.
        assert seen == [SERVING, NOT_SERVING, grpc.StatusCode.OK]
        assert server.process.wait(timeout=120) == 0
        protocol.close()
