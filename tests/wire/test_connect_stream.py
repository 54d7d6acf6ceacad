"""Streams over Connect: progress and answers in envelopes, how it went in the last of them."""

import base64
import gzip
import json
import struct
import time

import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from candor.v1 import explanation_pb2 as pb
from candor.v1 import job_pb2
from wire.protocol import get, inflight, until

STREAM = "/candor.v1.ExplanationService/ExplainStream"
WATCH = "/candor.v1.JobService/WatchJob"
TEXTS = {"texts": {"texts": ["Not a bad film."]}}
JSON = {"content-type": "application/connect+json"}
PROTO = {"content-type": "application/connect+proto"}


def lime(n_samples, seed=0, **more):
    """An ExplainStream request, in JSON."""
    method = {"lime": {"nSamples": n_samples, "seed": seed}}
    return {"explain": {"model": "sentences", "input": TEXTS, "methods": [method]} | more}


def endless():
    """An ExplainStream request of a million rows, in JSON."""
    method = {"integratedGradients": {"nSteps": 10_000}}
    texts = {"texts": [f"Not a bad film, number {n}." for n in range(100)]}
    asked = {"model": "sentences", "input": {"texts": texts}, "methods": [method]}
    return {"explain": asked | {"cache": "CACHE_POLICY_BYPASS"}}


def sealed(message, flags=0):
    """One envelope."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", flags, len(data)) + data


def envelopes(chunks):
    """Flags and contents, as they come."""
    held = b""
    for chunk in chunks:
        held += chunk
        while len(held) >= 5 and len(held) >= 5 + struct.unpack(">I", held[1:5])[0]:
            end = 5 + struct.unpack(">I", held[1:5])[0]
            yield held[0], held[5:end]
            held = held[end:]
    assert held == b""


def asked(web, path, body, headers):
    """A whole stream: its messages, and the document at its end."""
    with web.stream("POST", path, content=body, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] == headers.get(
            "x-request-id", answer.headers["x-request-id"]
        )
        assert answer.headers["content-type"] == headers["content-type"]
        *messages, (flags, last) = envelopes(answer.iter_raw())
    assert flags == 2
    assert all(flags == 0 for flags, _ in messages)
    return [content for _, content in messages], json.loads(last)


def test_progress_comes_and_the_answer_last(web, client):
    body = sealed(lime(4000, seed=77))
    messages, end = asked(web, STREAM, body, JSON | {"x-request-id": "mine-7"})
    read = [json_format.Parse(message, pb.ExplainStreamResponse()) for message in messages]
    fractions = [message.progress.fraction for message in read[:-1]]
    assert len(fractions) >= 2
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    typed = client.explain(
        "sentences", [{"lime": {"n_samples": 4000, "seed": 77}}], texts=["Not a bad film."]
    ).of("lime")
    values = np.frombuffer(read[-1].result.attributions[0].values.data, np.float32)
    np.testing.assert_array_equal(values, typed.values.ravel())
    assert "error" not in end
    assert "compute;dur=" in end["metadata"]["server-timing"][0]


def test_protobuf_in_protobuf_out_packed_or_not(web):
    request = json_format.ParseDict(lime(50), pb.ExplainStreamRequest()).SerializeToString()
    plain, _ = asked(web, STREAM, sealed(request), PROTO)
    packed, _ = asked(
        web, STREAM, sealed(gzip.compress(request), flags=1),
        PROTO | {"connect-content-encoding": "gzip", "connect-accept-encoding": "gzip"},
    )  # fmt: skip
    results = [pb.ExplainStreamResponse.FromString(found[-1]).result for found in (plain, packed)]
    maps = [result.attributions[0].values.data for result in results]
    assert maps[0] == maps[1] != b""


def test_a_job_is_watched_to_its_end(web, client):
    job = client.submit("sentences", [{"lime": {"n_samples": 3000}}], texts=["A film to watch."])
    messages, end = asked(web, WATCH, sealed({"id": job.id}), JSON)
    read = [json_format.Parse(message, job_pb2.WatchJobResponse()) for message in messages]
    assert read[-1].job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert read[-1].answer.attributions[0].method == "lime"
    assert "error" not in end


@pytest.mark.parametrize(
    ("body", "headers", "code", "says"),
    [
        (sealed({"explain": {"model": "fotos"}}), {}, "not_found", "'fotos'"),
        (sealed({"explained": 1}), {}, "invalid_argument", "ExplainStreamRequest"),
        (sealed(b"\xff" * 9), PROTO, "invalid_argument", "ExplainStreamRequest"),
        (b"", {}, "invalid_argument", "0 bytes; expected one message in an envelope"),
        (sealed({})[:-1], {}, "invalid_argument", "2 bytes by its envelope, and 1 follow"),
        (sealed({}) + sealed({}), {}, "invalid_argument", "nothing behind it"),
        (sealed({}, flags=2), {}, "invalid_argument", "flags of the message are 2"),
        (sealed({}, flags=1), {}, "invalid_argument", "no connect-content-encoding"),
        (sealed({}, 1), {"connect-content-encoding": "br"}, "unimplemented", "identity, gzip"),
        (sealed({}, 1), {"connect-content-encoding": "gzip"}, "invalid_argument", "not gzip"),
        (
            sealed(gzip.compress(bytes(17 * 2**20)), 1),
            {"connect-content-encoding": "gzip"}, "resource_exhausted", "max_json_bytes",
        ),
        (bytes(17 * 2**20), {}, "resource_exhausted", "max_json_bytes"),
        (sealed({}), {"connect-protocol-version": "2"}, "invalid_argument", "expected 1"),
        (sealed({}), {"connect-timeout-ms": "soon"}, "invalid_argument", "milliseconds"),
    ],
    ids=lambda value: repr(value)[-50:],
)  # fmt: skip
def test_errors_are_at_the_end_of_a_stream_that_is_well(web, body, headers, code, says):
    messages, end = asked(web, STREAM, body, JSON | headers)
    assert messages == []
    error = end["error"]
    assert error["code"] == code
    assert says in error["message"]
    info = error["details"][0]
    assert info["type"] == "google.rpc.ErrorInfo"
    padded = info["value"] + "=" * (-len(info["value"]) % 4)
    read = error_details_pb2.ErrorInfo.FromString(base64.b64decode(padded))
    assert read.domain == "candor"


def test_the_callers_time_runs_out(web, client):
    headers = JSON | {"connect-timeout-ms": "150"}
    _, end = asked(web, STREAM, sealed(endless()), headers)
    assert end["error"]["code"] == "deadline_exceeded"
    # A job goes on, whoever watches it; it is the watching that ends.
    steps = {"integrated_gradients": {"n_steps": 10_000}}
    job = client.submit("sentences", [steps], texts=["No end."] * 1000, cache="bypass")
    headers = JSON | {"connect-timeout-ms": "3000"}  # time for a first message, at least
    messages, end = asked(web, WATCH, sealed({"id": job.id}), headers)
    assert messages
    assert end["error"]["code"] == "deadline_exceeded"
    assert job.cancel().state == "cancelled"


def samples(server):
    """Rows that the models have seen so far."""
    lines = get(f"{server.metrics_url}/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("candor_model_calls_total{") and 'model="sentences"' in line
    )


def test_to_hang_up_stops_the_work(web, server):
    until(lambda: not inflight(server))
    before = samples(server)
    body = sealed(endless())
    with (
        httpx.Client(base_url=server.http_url, timeout=60) as own,
        own.stream("POST", STREAM, content=body, headers=JSON) as answer,
    ):
        for _ in zip(range(2), envelopes_of_part(answer), strict=False):
            pass
    until(lambda: not inflight(server))
    done = samples(server)
    time.sleep(0.3)
    while (now := samples(server)) > done:  # the slice that ran may count when the call is over
        assert now - before < 900_000
        done = now
        time.sleep(0.3)
    assert done - before < 900_000


def envelopes_of_part(answer):
    """The first messages of a stream that is left early."""
    for chunk in answer.iter_raw():
        assert chunk[0] == 0
        yield chunk


def test_other_kinds_are_told_which_there_are(web):
    for path, kind in ((STREAM, "application/json"), (STREAM, "text/plain")):
        answer = web.post(path, content=b"{}", headers={"content-type": kind})
        assert (answer.status_code, answer.headers["accept-post"]) == (
            415, "application/connect+json, application/connect+proto",
        )  # fmt: skip
    unary = web.post(STREAM.removesuffix("Stream"), content=b"{}", headers=JSON)
    assert unary.status_code == 415
