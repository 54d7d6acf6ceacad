"""candor.v1 over the Connect protocol, from the same handlers as over gRPC."""

import base64
import json

import numpy as np
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from candor.v1 import explanation_pb2 as pb
from candor.v1 import model_pb2

PREDICT = "/candor.v1.ExplanationService/Predict"
EXPLAIN = "/candor.v1.ExplanationService/Explain"
TEXTS = {"texts": {"texts": ["Not a bad film."]}}


def test_json_in_json_out(web, client):
    asked = {"model": "sentences", "input": TEXTS, "methods": [{"gradient": {"timesInput": True}}]}
    answer = web.post(EXPLAIN, json=asked)
    assert answer.headers["content-type"] == "application/json"
    found = json_format.Parse(answer.content, pb.ExplainResponse())
    typed = client.explain(
        "sentences", [{"gradient": {"times_input": True}}], texts=["Not a bad film."]
    ).of("gradient")
    values = np.frombuffer(found.attributions[0].values.data, np.float32)
    np.testing.assert_allclose(values, typed.values.ravel(), rtol=1e-5)
    assert answer.json()["attributions"][0]["method"] == "gradient"


def test_protobuf_in_protobuf_out(web, cat):
    asked = pb.ExplainRequest(model="photos")
    asked.input.images.images.append(cat)
    asked.methods.add().cam.SetInParent()
    asked.render.SetInParent()
    answer = web.post(
        EXPLAIN, content=asked.SerializeToString(), headers={"content-type": "application/proto"}
    )
    assert answer.headers["content-type"] == "application/proto"
    found = pb.ExplainResponse.FromString(answer.content)
    assert found.attributions[0].overlay_png.startswith(b"\x89PNG")


def test_models_are_listed_and_described(web):
    models = web.post("/candor.v1.ModelService/ListModels", json={}).json()["models"]
    assert "photos" in [model["id"]["name"] for model in models]
    empty = web.post(
        "/candor.v1.ModelService/GetModel",
        content=model_pb2.GetModelRequest(name="photos").SerializeToString(),
        headers={"content-type": "application/proto"},
    )
    assert len(model_pb2.GetModelResponse.FromString(empty.content).model.labels) == 50


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "says"),
    [
        ({"model": "fotos", "input": TEXTS}, {}, 404, "not_found", "'fotos'"),
        ({"modell": "x"}, {}, 400, "invalid_argument", "modell"),
        (b"{", {}, 400, "invalid_argument", "PredictRequest"),
        (b"[" * 20_000, {}, 400, "invalid_argument", "PredictRequest"),
        ({"model": "sentences"}, {}, 400, "invalid_argument", "input is empty"),
        (b"\xff", {"content-type": "application/proto"}, 400, "invalid_argument", "Predict"),
        ({}, {"connect-protocol-version": "2"}, 400, "invalid_argument", "expected 1"),
        ({}, {"connect-timeout-ms": "soon"}, 400, "invalid_argument", "milliseconds"),
        ({}, {"content-encoding": "br"}, 501, "unimplemented", "identity, gzip"),
        (bytes(17 * 2**20), {}, 429, "resource_exhausted", "max_json_bytes"),
    ],
    ids=lambda value: repr(value)[-70:],
)
def test_errors_are_connects(web, body, headers, status, code, says):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = web.post(
        PREDICT, content=content, headers={"content-type": "application/json"} | headers
    )
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code)
    assert says in found["message"]
    info = found["details"][0]
    assert info["type"] == "google.rpc.ErrorInfo"
    padded = info["value"] + "=" * (-len(info["value"]) % 4)
    read = error_details_pb2.ErrorInfo.FromString(base64.b64decode(padded))
    assert read.domain == "candor"


def test_the_callers_time_runs_out(web, pixels):
    method = {"integratedGradients": {"nSteps": 10_000}}
    texts = {"texts": [f"Not a bad film, number {n}." for n in range(100)]}
    asked = {"model": "sentences", "input": {"texts": texts}, "methods": [method]}
    answer = web.post(EXPLAIN, json=asked, headers={"connect-timeout-ms": "50"})
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_what_is_no_message_is_refused(web):
    text = web.post(PREDICT, content=b"", headers={"content-type": "text/plain"})
    assert (text.status_code, text.headers["accept-post"]) == (
        415, "application/json, application/proto",
    )  # fmt: skip
    assert web.post("/candor.v1.ExplanationService/Nothing", json={}).status_code == 404
