"""The Open Inference Protocol over HTTP: as JSON, as binary, and as a bare body."""

import gzip
import http.client
import json
import threading
import zlib

import httpx
import numpy as np
import pytest

from serving import running
from wire.protocol import counted, get, infer_request, inflight, until
from wire.test_oip_repository import explicit, root  # noqa: F401 - fixtures

HEADER = "inference-header-content-length"
INFER = "/v2/models/photos/infer"


def document(pixels, **more):
    """A request in JSON."""
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "FP32"}
    return {"inputs": [tensor | {"data": pixels.ravel().tolist()}], **more}


def binary(pixels, **more):
    """A request whose tensor follows the JSON: body and headers."""
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": pixels.nbytes}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + pixels.tobytes(), {HEADER: str(len(head))}


@pytest.fixture(scope="module")
def logits(oip, pixels):
    """What gRPC answers."""
    return oip.infer(infer_request("photos", image=pixels))[0]["logits"]


def test_server_says_who_and_how_it_is(web):
    metadata = web.get("/v2").json()
    assert metadata["name"] == "candor"
    assert {"binary_tensor_data", "statistics"} <= set(metadata["extensions"])
    assert web.get("/v2/health/live").json() == {"live": True}
    assert (web.get("/v2/health/ready").status_code, web.get("/v2/health/ready").json()) == (
        200, {"ready": True},
    )  # fmt: skip
    assert "photos" in web.get("/v2/models").json()["models"]


@pytest.mark.parametrize("path", ["/v2/models/photos", "/v2/models/photos/versions/1"])
def test_model_is_described(web, path):
    metadata = web.get(path).json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 64, 64]}]
    config = web.get(f"{path}/config").json()
    assert config["input"][0]["dims"] == [3, 64, 64]
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert "lime" in config["parameters"]["candor.methods"]["string_value"].split(",")
    assert web.get(f"{path}/ready").status_code == 200
    (stats,) = web.get(f"{path}/stats").json()["model_stats"]
    assert (stats["name"], type(stats["inference_count"])) == ("photos", int)
    assert set(stats["inference_stats"]) >= {"success", "queue", "compute_infer"}


def test_statistics_count_what_comes_over_http(web, pixels):
    def count():
        (stats,) = web.get("/v2/models/photos/stats").json()["model_stats"]
        return stats["inference_count"], stats["inference_stats"]["queue"]["count"]

    rows, requests = count()
    assert web.post(INFER, json=document(pixels)).status_code == 200
    assert count() == (rows + 2, requests + 1)
    names = {stats["name"] for stats in web.get("/v2/models/stats").json()["model_stats"]}
    assert {"photos", "sentences"} <= names


def test_json_answers_what_grpc_answers(web, pixels, logits):
    answer = web.post(INFER, json=document(pixels, id="row-7"))
    found = answer.json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("row-7", "photos", "1")
    assert "parameters" not in found
    (output,) = found["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [2, 50])
    assert np.array(output["data"], np.float32).tobytes() == logits.tobytes()
    nested = document(pixels)
    nested["inputs"][0]["data"] = pixels.tolist()
    assert web.post(INFER, json=nested).json()["outputs"] == found["outputs"]


def test_binary_tensors_answer_in_binary_where_that_is_asked_for(web, pixels, logits):
    body, headers = binary(pixels, parameters={"binary_data_output": True})
    answer = web.post(INFER, content=body, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[HEADER])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": logits.nbytes}
    assert "data" not in output
    assert answer.content[length:] == logits.tobytes()

    body, headers = binary(pixels)
    plain = web.post(INFER, content=body, headers=headers)
    assert plain.headers["content-type"] == "application/json"
    assert HEADER not in plain.headers


def test_explanations_ride_along_and_each_output_chooses_its_form(web, pixels):
    outputs = [
        {"name": "candor.gradient", "parameters": {"binary_data": True}},
        {"name": "logits", "parameters": {"classification": 2}},
    ]
    asked = document(pixels, outputs=outputs, parameters={"candor.target": 3})
    answer = web.post(INFER, json=asked)
    length = int(answer.headers[HEADER])
    found = json.loads(answer.content[:length])
    gradient = np.frombuffer(answer.content[length:], np.float32).reshape(2, 64, 64)
    assert gradient.max() > 0
    classes = found["outputs"][1]
    assert (classes["datatype"], classes["shape"], len(classes["data"])) == ("BYTES", [2, 2], 4)
    trust = json.loads(found["parameters"]["candor.gradient.trust"])
    assert [record["target"]["plus"] for record in trust] == [3, 3]


def test_texts_travel_as_json_strings(web, client):
    tensor = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": ["Not a bad film."]}
    parameters = {"candor.explain": "gradient", "candor.gradient.times_input": True}
    answer = web.post(
        "/v2/models/sentences/infer", json={"inputs": [tensor], "parameters": parameters}
    ).json()
    by_name = {output["name"]: output for output in answer["outputs"]}
    typed = client.explain(
        "sentences", [{"gradient": {"times_input": True}}], texts=["Not a bad film."]
    )
    np.testing.assert_allclose(
        by_name["candor.gradient"]["data"], typed.of("gradient").values.ravel(), rtol=1e-5
    )


def test_a_bare_body_is_a_picture_with_parameters_in_the_query(web, cat, client):
    query = {"candor.explain": "lime", "candor.lime.n_samples": "30", "candor.target": "3"}
    answer = web.post(INFER, content=cat, headers={HEADER: "0"}, params=query).json()
    by_name = {output["name"]: output for output in answer["outputs"]}
    assert by_name["candor.lime"]["shape"] == [1, 64, 64]
    (record,) = json.loads(answer["parameters"]["candor.lime.trust"])
    assert (record["figures"]["n_samples"], record["target"]["plus"]) == (30, 3)
    typed = client.predict("photos", images=[cat])
    np.testing.assert_allclose(by_name["logits"]["data"], typed.scores.ravel(), atol=1e-4)


@pytest.mark.parametrize(("model", "shape"), [("adult-mlp", (4, 14)), ("ecg200-fcn", (1, 70, 1))])
def test_a_bare_body_may_be_the_only_tensor(web, oip, model, shape):
    rows = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    name = web.get(f"/v2/models/{model}").json()["inputs"][0]["name"]
    path = f"/v2/models/{model}/infer"
    answer = web.post(path, content=rows.tobytes(), headers={HEADER: "0"})
    assert answer.status_code == 200, answer.text
    (output,) = oip.infer(infer_request(model, **{name: rows}))[0].values()
    (found,) = answer.json()["outputs"]
    assert found["shape"] == list(output.shape)
    np.testing.assert_array_equal(np.array(found["data"], np.float32), output.ravel())
    short = web.post(path, content=rows.tobytes()[:-1], headers={HEADER: "0"})
    assert short.status_code == 400
    assert f"{rows.nbytes - 1} bytes" in short.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_body_is_unpacked(web, pixels, encoding, pack):
    body, headers = binary(pixels)
    packed = web.post(INFER, content=pack(body), headers=headers | {"content-encoding": encoding})
    assert packed.json() == web.post(INFER, content=body, headers=headers).json()


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b"not packed", {"content-encoding": "gzip"}, "the body is not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, "one whole gzip stream"),
        (b"{", {}, "not JSON"),
        (b"[1]", {}, "expected a JSON object"),
        (b"\xff\xfe", {}, "not JSON"),
        (b"[" * 100_000, {}, "not JSON"),
        (b"{}", {HEADER: "two"}, "expected the length of the JSON"),
        (b"{}", {HEADER: "3"}, "the body has 2 bytes"),
        (b"{}x", {HEADER: "2"}, "1 bytes follow the last tensor"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_cannot_be_read_says_why(web, content, headers, says):
    answer = web.post(INFER, content=content, headers=headers)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_a_compression_that_is_not_known_is_answered_with_those_that_are(web):
    answer = web.post(INFER, content=b"x", headers={"content-encoding": "br"})
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity, gzip, deflate"
    assert "is 'br'; there are identity, gzip, deflate" in answer.json()["error"]


def tensor(**changes):
    return {"name": "image", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]} | changes


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"inputs": {}}, "inputs is an object; expected a list"),
        ({"inputs": [3]}, "inputs[0] is no object"),
        ({"inputs": [tensor(name=7)]}, "inputs[0].name is 7; expected text"),
        ({"inputs": [tensor(datatype="FP12")]}, "datatype is 'FP12'"),
        ({"inputs": [tensor(shape="12")]}, "inputs[0].shape is"),
        ({"inputs": [tensor(shape=[1, 2.0])]}, "no list of whole numbers"),
        ({"inputs": [tensor(shape=[True, 2])]}, "no list of whole numbers"),
        ({"inputs": [tensor(shape=[-1, 2])]}, "an axis is between"),
        ({"inputs": [tensor(shape=[3])]}, "has 2 elements in data; shape [3] takes 3"),
        ({"inputs": [tensor(data=[1, "2"])]}, "holds what is no FP32"),
        ({"inputs": [tensor(data=[1, None])]}, "holds what is no FP32"),
        ({"inputs": [tensor(data=[[1, 2], [3]])]}, "not a tensor"),
        ({"inputs": [tensor(data={"a": 1})]}, "holds what is no FP32"),
        ({"inputs": [tensor(datatype="INT32", data=[1.5, 2])]}, "holds what is no INT32"),
        ({"inputs": [tensor(datatype="UINT8", data=[1, 256])]}, "holds 256; UINT8 goes"),
        ({"inputs": [tensor(datatype="INT64", data=[1, 2**70])]}, "holds what is no INT64"),
        ({"inputs": [tensor(datatype="BOOL", data=[1, 0])]}, "holds what is no BOOL"),
        ({"inputs": [tensor(datatype="FP16")]}, "travels in binary only"),
        ({"inputs": [tensor(datatype="BYTES")]}, "holds what is no text"),
        ({"inputs": [tensor(datatype="BYTES", data=["\ud800", ""])]}, "surrogate"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "data is missing"),
        (
            {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {
                "shared_memory_region": "r", "shared_memory_byte_size": 4}}]},
            "'x' lies in shared memory, which candor does not serve",
        ),
        ({"inputs": [tensor(parameters={"binary_data_size": 8})]}, "data is given beside"),
        ({"inputs": [tensor(parameters={"shared_memory_region": "r"})]}, "shared memory"),
        ({"inputs": [], "parameters": {"a": [1]}}, "parameters.a is a list"),
        ({"inputs": [], "parameters": {"a": 2**63}}, "parameters.a is 9223372036854775808"),
        ({"inputs": [], "id": 3}, "id is 3; expected text"),
        ({"inputs": [], "outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]},
         "binary_data is 1; expected true or false"),
        ({"inputs": [], "parameters": {"candor.explain": "shap"}}, "'shap'"),
        ({"inputs": []}, "image"),
    ],
    ids=lambda value: repr(value)[-70:],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_place(web, asked, says):
    answer = web.post(INFER, json=asked) if "surrogate" not in says else web.post(
        INFER, content=json.dumps(asked).encode()
    )  # fmt: skip
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v2/models/fotos", 404),
        ("GET", "/v2/models/fotos/config", 404),
        ("GET", "/v2/models/fotos/stats", 404),
        ("GET", "/v2/models/photos/versions/9", 404),
        ("POST", "/v2/models/fotos/infer", 404),
        ("GET", "/v2/models/fotos/ready", 503),
        ("POST", "/v2/repository/models/photos/load", 503),
        ("GET", "/v2/systemsharedmemory/status", 404),
        ("GET", INFER, 405),
    ],
)
def test_what_is_not_there_has_a_status_and_words(web, verb, path, status):
    answer = web.request(verb, path)
    assert answer.status_code == status
    assert answer.json()["name" if path.endswith("ready") else "error"]


def test_the_request_id_comes_back_or_one_is_made(web):
    assert web.get("/v2", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert len(web.get("/v2", headers={"x-request-id": "has blanks"}).headers["x-request-id"]) == 16


def test_repository_is_controlled_over_http_too(explicit, pixels):  # noqa: F811
    with httpx.Client(base_url=explicit.http_url, timeout=60) as web:
        assert web.post("/v2/repository/models/photos/unload").status_code == 200
        (line,) = (m for m in web.post("/v2/repository/index").json() if m["name"] == "photos")
        # UNLOADING for as long as a request that is just over holds it.
        assert line["state"] in ("UNAVAILABLE", "UNLOADING")
        assert line["reason"] == "unloaded"
        assert web.post("/v2/repository/index", json={"ready": True}).json() == []
        gone = web.post(INFER, json=document(pixels))
        assert (gone.status_code, "unloaded" in gone.json()["error"]) == (404, True)
        config = web.post(
            "/v2/repository/models/photos/load", json={"parameters": {"config": "{}"}}
        )
        assert (config.status_code, "model.toml" in config.json()["error"]) == (400, True)
        assert web.post("/v2/repository/models/photos/load").status_code == 200
        assert web.post(INFER, json=document(pixels)).status_code == 200


def test_limits_hold_before_and_after_unpacking_and_for_answers(tmp_path, pixels):
    environ = {"CANDOR_MAX_MESSAGE_BYTES": "100000", "CANDOR_DRAIN_S": "10"}
    with running(tmp_path, environ=environ) as server:
        with httpx.Client(base_url=server.http_url, timeout=60) as web:
            for content, headers in (
                (bytes(100_001), {}),
                (iter([bytes(60_000)] * 2), {}),  # no length announced
                (gzip.compress(bytes(10**8)), {"content-encoding": "gzip"}),
            ):
                answer = web.post(INFER, content=content, headers=headers)
                assert answer.status_code == 413
                assert "max_message_bytes, 100000" in answer.json()["error"]
            body, headers = binary(pixels, parameters={"candor.explain": "cam,gradient"})
            answer = web.post(INFER, content=body, headers=headers)
            assert answer.status_code == 413
            assert "ask for fewer" in answer.json()["error"]

        # What is under way when the server is told to stop is answered; what comes then is not.
        parameters = {"candor.explain": "lime", "candor.lime.n_samples": 100_000,
                      "candor.lime.segments": "grid"}  # fmt: skip
        outputs = [{"name": "logits"}]
        body, headers = binary(pixels[:1], parameters=parameters, outputs=outputs)
        answers = []

        def ask():
            answers.append(httpx.post(server.http_url + INFER, content=body, headers=headers,
                                      timeout=300))  # fmt: skip

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: inflight(server))
        server.process.terminate()
        until(lambda: get(f"{server.http_url}/healthz/ready").status == 503)
        late = httpx.post(server.http_url + INFER, content=body, headers=headers, timeout=60)
        assert (late.status_code, late.json()) == (503, {"error": "the server is stopping"})
        asking.join()
        assert server.process.wait(120) == 0
        assert answers[0].status_code == 200


def test_hanging_up_stops_the_work(server, pixels):
    parameters = {
        "candor.explain": "lime",
        "candor.lime.n_samples": 100_000,
        "candor.lime.segments": "grid",
        "candor.cache": "bypass",
    }
    body, headers = binary(pixels[:1], parameters=parameters)

    until(lambda: not inflight(server))
    ran = counted(server, "candor_model_calls_total", 'program="perturb"')
    caller = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=60)
    caller.request("POST", INFER, body, headers)
    until(lambda: inflight(server))
    caller.close()
    until(lambda: not inflight(server))
    assert counted(server, "candor_model_calls_total", 'program="perturb"') - ran < 90_000
