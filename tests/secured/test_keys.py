"""Keys on every way in: who shows none, who may do what, how often, and how much at a time."""

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from candor import errors
from candor.client import AsyncClient, Client
from candor.inference.v2 import grpc_service_pb2 as pb
from cli.running import candor
from secured.conftest import KEYS, MODEL, bearer, keys_text, until
from wire.protocol import get, infer_request

ROWS = {"image": np.zeros((1, 1, 28, 28), np.float32)}


@pytest.fixture
def client(guarded):
    with Client(guarded.grpc_target, api_key=KEYS["all"], attempts=1) as found:
        yield found


@pytest.fixture
def channel(guarded):
    with grpc.insecure_channel(guarded.grpc_target) as found:
        yield found


@pytest.fixture(scope="module")
def web(guarded):
    with httpx.Client(base_url=guarded.http_url, timeout=60) as found:
        yield found


def test_a_known_key_is_let_in_everywhere(client, web, channel):
    assert client.predict(MODEL, tensors=ROWS).rows
    assert web.get("/v2", headers=bearer("all")).status_code == 200
    # One key takes over from another: both are good.
    for name in ("one", "next"):
        answer = web.get("/v1/models", headers=bearer(name))
        assert answer.json() == {"models": [MODEL]}
    ask = channel.unary_unary("/candor.v1.ModelService/ListModels")
    assert ask(b"", metadata=(("authorization", f"bearer {KEYS['all']}"),), timeout=60)


async def test_the_asynchronous_client_shows_its_key(guarded):
    async with AsyncClient(guarded.grpc_target, api_key=KEYS["all"]) as client:
        assert await client.models(timeout_s=60)


NO_KEYS = [None, "", "Bearer", f"Bearer {KEYS['all']}x", f"Basic {KEYS['all']}",
           KEYS["all"]]  # fmt: skip


@pytest.mark.parametrize("shown", NO_KEYS)
@pytest.mark.parametrize(
    "rpc",
    [
        "/candor.v1.ModelService/ListModels",
        "/candor.v1.ExplanationService/Predict",
        "/candor.v1.ExplanationService/ExplainStream",
        "/inference.GRPCInferenceService/ModelInfer",
        "/inference.GRPCInferenceService/ServerMetadata",
        "/inference.GRPCInferenceService/RepositoryIndex",
    ],
)
def test_without_one_nothing_is_answered_over_grpc(channel, rpc, shown):
    metadata = () if shown is None else (("authorization", shown),)
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(rpc)(b"", metadata=metadata, timeout=60))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "authorization: Bearer KEY" in caught.value.details()
    assert KEYS["all"] not in caught.value.details()


@pytest.mark.parametrize("shown", NO_KEYS)
@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/models"),
        ("GET", "/v1/models"),
        ("POST", f"/v2/models/{MODEL}/infer"),
        ("POST", f"/v1/models/{MODEL}:predict"),
        ("POST", "/v2/repository/index"),
        ("POST", "/candor.v1.ModelService/ListModels"),
    ],
)
def test_without_one_nothing_is_answered_over_http(web, verb, path, shown):
    headers = {"content-type": "application/json"}
    if shown is not None:
        headers["authorization"] = shown
    answer = web.request(verb, path, headers=headers, content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEYS["all"] not in answer.text


def test_a_body_is_not_read_before_the_key_is(guarded):
    host, _, port = guarded.http_url.removeprefix("http://").rpartition(":")

    async def ask():
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: {host}\r\n"
            "Content-Length: 1000000\r\n\r\n".encode()
        )
        # Not one byte of the body follows.
        line = await asyncio.wait_for(reader.readline(), 60)
        writer.close()
        return line

    assert asyncio.run(ask()).split()[1] == b"401"


def test_probes_need_no_key(guarded, channel, web):
    check = health_pb2_grpc.HealthStub(channel).Check
    for name in ("", "liveness", "readiness", f"model/{MODEL}"):
        answer = check(health_pb2.HealthCheckRequest(service=name), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for method in ("ServerLive", "ServerReady"):
        rpc = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        assert rpc(b"", timeout=60) == b"\x08\x01"
    for path in ("/healthz/live", "/healthz/ready", "/v2/health/live", "/v2/health/ready"):
        assert web.get(path).status_code == 200
    assert get(f"{guarded.metrics_url}/metrics").status == 200


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_asks_for_a_key_too(channel, version):
    rpc = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(rpc(iter([question]), timeout=60))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    metadata = (("authorization", f"Bearer {KEYS['all']}"),)
    (answer,) = rpc(iter([question]), metadata=metadata, timeout=60)
    assert len(answer.list_services_response.service) > 3


def test_other_models_are_neither_used_nor_seen(guarded, web):
    with Client(guarded.grpc_target, api_key=KEYS["one"], attempts=1) as one:
        assert {model.id.name for model in one.models()} == {MODEL}
        assert one.predict(MODEL, tensors=ROWS).rows
        for name in ("copy", "nowhere", ""):
            for ask in (
                lambda name=name: one.predict(name, tensors=ROWS),
                lambda name=name: one.explain(name, "gradient", tensors=ROWS),
                lambda name=name: one.estimate(name, "gradient", tensors=ROWS),
                lambda name=name: one.model(name),
            ):
                with pytest.raises(errors.PermissionDenied, match="'one' may not use the model"):
                    ask()
        # What may be used and is not there does not tell what is there.
        with pytest.raises(errors.NotFound) as caught:
            one.model("absent")
        assert "copy" not in str(caught.value)
    headers = bearer("one")
    for verb, path in (
        ("GET", "/v2/models/copy"),
        ("GET", "/v2/models/copy/ready"),
        ("GET", "/v2/models/copy/config"),
        ("GET", "/v2/models/copy/stats"),
        ("GET", "/v1/models/copy"),
        ("POST", "/v2/models/copy/infer"),
        ("POST", "/v1/models/copy:predict"),
        ("POST", "/v1/models/copy:explain"),
    ):
        answer = web.request(verb, path, headers=headers, content=b"{}")
        assert answer.status_code == 403, path
    for path in ("/v2/models", "/v2/models/stats"):
        assert "copy" not in web.get(path, headers=headers).text
    assert "copy" not in web.post("/v2/repository/index", headers=headers, content=b"").text


def test_only_who_may_loads_and_unloads(web):
    for name, status in (("one", 403), ("twin", 403), ("all", 200)):
        for what in ("unload", "load"):
            answer = web.post(f"/v2/repository/models/copy/{what}", headers=bearer(name))
            assert answer.status_code == status, answer.text


def test_tenants_share_no_answers_unless_told_to(guarded):
    rows = {"image": np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)}

    def status(name):
        with Client(guarded.grpc_target, api_key=KEYS[name]) as client:
            return client.explain(MODEL, "gradient", tensors=rows).of("gradient")

    found = {name: status(name) for name in ("all", "one", "twin", "next")}
    assert {name: each.cache for name, each in found.items()} == {
        "all": "miss", "one": "miss", "twin": "hit", "next": "hit",
    }  # fmt: skip
    assert found["all"].cache_key != found["one"].cache_key
    assert len({each.values.tobytes() for each in found.values()}) == 1


def test_too_many_requests_are_refused_with_a_hint(guarded, web):
    with Client(guarded.grpc_target, api_key=KEYS["slow"], attempts=1) as client:
        for _ in range(3):
            assert client.models()
        with pytest.raises(errors.Overloaded, match=r"'slow' may make 0\.001 requests") as caught:
            client.models()
    # A thousand seconds until the next one, less those that have passed.
    assert 500 < caught.value.retry_after_s <= 1000
    answer = web.get("/v2", headers=bearer("slow"))
    assert answer.status_code == 429
    assert 500 < int(answer.headers["retry-after"]) <= 1000


def test_too_much_at_a_time_is_refused_and_let_in_later(guarded, web):
    long = [{"lime": {"n_samples": 100_000, "segments": "grid"}}]
    many = {"image": np.random.default_rng(0).random((32, 1, 28, 28), np.float32)}
    headers = bearer("narrow")
    with Client(guarded.grpc_target, api_key=KEYS["narrow"], attempts=1) as client:
        seen = threading.Event()

        def explain():
            with suppress(errors.Cancelled):
                client.explain(MODEL, long, tensors=many, on_progress=lambda _: seen.set())

        asking = threading.Thread(target=explain)
        asking.start()
        assert seen.wait(60)
        refused = web.get("/v2", headers=headers)
        assert refused.status_code == 429
        assert "1 requests under way" in refused.text
        # Others have limits of their own.
        assert web.get("/v2", headers=bearer("all")).status_code == 200
        client.close()
        asking.join()
    until(lambda: web.get("/v2", headers=headers).status_code == 200)


def test_each_message_of_a_stream_counts(guarded, channel):
    rpc = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelStreamInferResponse.FromString,
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(rpc(iter([infer_request(MODEL, **ROWS)]), timeout=60))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    def ask(name, *requests):
        return list(
            rpc(iter(requests), metadata=(("authorization", f"Bearer {KEYS[name]}"),), timeout=60)
        )

    own, other = infer_request(MODEL, **ROWS), infer_request("copy", **ROWS)
    first, second = ask("one", own, other)
    assert not first.error_message
    assert "may not use the model 'copy'" in second.error_message
    codes = [
        answer.infer_response.parameters["candor.code"].string_param for answer in ask("slow", own)
    ]
    assert codes == ["RESOURCE_EXHAUSTED"]


def test_tritonclient_shows_its_key_as_a_header(guarded):
    script = Path(__file__).parent / "triton_key_session.py"
    done = subprocess.run(
        [sys.executable, script, guarded.grpc_target, guarded.http_url.removeprefix("http://"),
         KEYS["one"], MODEL],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["grpc"] == report["http"]
    assert report["refused"] == ["StatusCode.UNAUTHENTICATED", "401"]


def test_the_command_line_has_its_key_from_a_file_or_the_environment(guarded, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEYS['one']}\n")
    ask = ["models", "--server", guarded.grpc_target, "--json"]
    for done in (candor(*ask, "--api-key-file", str(file)),
                 candor(*ask, CANDOR_API_KEY=KEYS["one"])):  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert [model["id"]["name"] for model in json.loads(done.stdout)] == [MODEL]
    refused = candor(*ask)
    assert refused.returncode == 1
    assert "asks for a key" in refused.stderr


def test_the_log_says_who_and_never_by_which_key(guarded, client, channel):
    marked = (("authorization", f"Bearer {KEYS['one']}"), ("x-request-id", "who-was-it"))
    channel.unary_unary("/candor.v1.ModelService/ListModels")(b"", metadata=marked, timeout=60)
    until(lambda: '"who-was-it"' in guarded.log.read_text())
    lines = [json.loads(line) for line in guarded.log.read_text().splitlines() if line[:1] == "{"]
    assert [line["caller"] for line in lines if line.get("request_id") == "who-was-it"] == ["one"]
    text = guarded.log.read_text()
    assert [key for key in KEYS.values() if key in text] == []
    refused = [
        line for line in get(f"{guarded.metrics_url}/metrics").text.splitlines()
        if line.startswith("candor_requests_total") and 'method="(refused)"' in line
    ]  # fmt: skip
    codes = ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
    assert all(any(f'code="{code}"' in line for line in refused) for code in codes)


def test_keys_come_and_go_without_a_restart(guarded, keys_file, web):
    def status(key):
        return web.get("/v2", headers={"authorization": f"Bearer {key}"}).status_code

    assert (status(KEYS["twin"]), status("candor_new")) == (200, 401)
    keys_file.write_text(keys_text(twin="candor_new"))
    until(lambda: (status(KEYS["twin"]), status("candor_new")) == (401, 200))
    # What cannot be read changes nothing, and the log says why.
    keys_file.write_text("[[key]]\nname = 'half")
    until(lambda: "not renewed" in guarded.log.read_text() or status("candor_new") != 200)
    assert (status(KEYS["all"]), status("candor_new")) == (200, 200)
    # Limits go on where they were.
    assert status(KEYS["slow"]) == 429
    keys_file.write_text(keys_text())
    until(lambda: status(KEYS["twin"]) == 200)
    assert status(KEYS["slow"]) == 429
