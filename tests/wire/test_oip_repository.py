"""Load and unload on request, where the operator allows it."""

import shutil
import threading

import grpc
import numpy as np
import pytest

from candor.inference.v2 import grpc_service_pb2 as pb
from serving import REPOSITORY, running
from wire.protocol import Protocol, get, infer_request, inflight, until

ROW = np.zeros((1, 3, 64, 64), np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A repository of our own, to change under the server."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(REPOSITORY / "photos", folder / "photos")
    (folder / "broken").mkdir()
    (folder / "broken" / "model.onnx").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def explicit(root, tmp_path_factory):
    """A server that loads and unloads on request."""
    environ = {"CANDOR_REPOSITORY_MODE": "explicit"}
    with running(tmp_path_factory.mktemp("log"), root, environ) as server:
        yield server


@pytest.fixture(scope="module")
def own(explicit):
    protocol = Protocol(explicit.grpc_target)
    yield protocol
    protocol.close()


def load(protocol, name, **parameters):
    return control(protocol, pb.RepositoryModelLoadRequest(model_name=name), parameters)


def unload(protocol, name, **parameters):
    return control(protocol, pb.RepositoryModelUnloadRequest(model_name=name), parameters)


def control(protocol, request, parameters):
    for name, value in parameters.items():
        kind = {bool: "bool", str: "string", bytes: "bytes"}[type(value)]
        setattr(request.parameters[name], f"{kind}_param", value)
    return protocol.call(type(request).__name__.removesuffix("Request"), request)


def index(protocol, *, ready=False):
    models = protocol.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready)).models
    return {(m.name, m.version): (m.state, m.reason) for m in models}


def wait_state(protocol, state):
    """Until the photographs are in this state."""
    until(lambda: index(protocol)["photos", "1"][0] == state)


def refused(function, *given, **named):
    with pytest.raises(grpc.RpcError) as caught:
        function(*given, **named)
    return caught.value


def test_an_unloaded_model_is_not_found_until_it_is_loaded(own):
    assert index(own)["photos", "1"] == ("READY", "")
    unload(own, "photos", unload_dependents=True)
    wait_state(own, "UNAVAILABLE")
    assert index(own)["photos", "1"] == ("UNAVAILABLE", "unloaded")
    assert ("photos", "1") not in index(own, ready=True)
    assert not own.call("ModelReady", pb.ModelReadyRequest(name="photos")).ready
    for version in ("", "1"):
        request = infer_request("photos", image=ROW)
        request.model_version = version
        error = refused(own.infer, request)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "'photos' is unloaded" in error.details()
    answer = load(own, "photos")
    assert (answer.model_name, answer.is_loaded) == ("photos", True)
    assert own.infer(infer_request("photos", image=ROW))[0]["logits"].shape == (1, 50)
    assert index(own)["photos", "1"] == ("READY", "")


def test_a_new_version_is_served_once_it_is_loaded_and_requests_meanwhile_are_answered(own, root):
    answers, failures, stop = set(), [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.add(own.infer(infer_request("photos", image=ROW))[1].model_version)
            except grpc.RpcError as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: answers or failures)
        shutil.copytree(root / "photos" / "1", root / "photos" / "2")
        load(own, "photos")
        version = own.infer(infer_request("photos", image=ROW))[1].model_version
    finally:
        stop.set()
        asking.join()
        shutil.rmtree(root / "photos" / "2")
    assert version == "2"
    assert not failures
    assert "1" in answers
    load(own, "photos")
    assert own.infer(infer_request("photos", image=ROW))[1].model_version == "1"


def test_a_request_in_flight_is_finished_by_the_model_that_is_unloaded(own, explicit):
    parameters = {
        "candor.explain": "lime",
        "candor.lime.n_samples": 100_000,
        "candor.lime.segments": "grid",
        "candor.budget_ms": 8000,
        "candor.cache": "bypass",
    }
    image = np.random.default_rng(1).normal(size=ROW.shape).astype(np.float32)
    request = infer_request("photos", image=image, parameters=parameters)
    path = "/inference.GRPCInferenceService/ModelInfer"
    under_way = own.channel.unary_unary(path).future(request.SerializeToString())
    until(lambda: inflight(explicit) or under_way.done())
    unload(own, "photos")
    try:
        assert not under_way.done()
        assert index(own)["photos", "1"] == ("UNLOADING", "unloaded")
        answer = pb.ModelInferResponse.FromString(under_way.result(timeout=300))
        assert not answer.parameters["candor.complete"].bool_param
        assert "candor.lime" in [output.name for output in answer.outputs]
        wait_state(own, "UNAVAILABLE")
    finally:
        load(own, "photos")


def test_loading_anew_begins_the_statistics_and_keeps_the_info_of_the_model(own, explicit):
    own.infer(infer_request("photos", image=ROW))
    load(own, "photos")
    (counts,) = own.call("ModelStatistics", pb.ModelStatisticsRequest(name="photos")).model_stats
    assert (counts.inference_count, counts.execution_count) == (0, 0)
    until(lambda: metrics(explicit).count('candor_model_info{digest="') == 1)
    unload(own, "photos")
    until(lambda: "candor_model_info{" not in metrics(explicit))
    load(own, "photos")


def metrics(server):
    """What Prometheus would scrape."""
    return get(f"{server.metrics_url}/metrics").text


def test_kserves_dialect_writes_the_model_into_another_field(own):
    request = pb.RepositoryModelUnloadRequest(repository_name="photos")
    assert own.call("RepositoryModelUnload", request).is_unloaded
    assert own.call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="photos"))
    assert index(own)["photos", "1"][0] == "READY"


def test_a_broken_model_says_what_is_broken_and_the_others_are_served(own):
    error = refused(load, own, "broken")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "not an ONNX model" in error.details()
    state, reason = index(own)["broken", "1"]
    assert state == "UNAVAILABLE"
    assert "not an ONNX model" in reason
    assert own.infer(infer_request("photos", image=ROW))


@pytest.mark.parametrize(
    ("verb", "name", "parameters", "code", "says"),
    [
        (load, "fotos", {}, "NOT_FOUND", "'fotos'"),
        (unload, "fotos", {}, "NOT_FOUND", "'fotos'"),
        (load, "", {}, "INVALID_ARGUMENT", "model_name is empty"),
        (load, "photos", {"config": "{}"}, "INVALID_ARGUMENT", "model.toml"),
        (load, "photos", {"file:1/model.onnx": b"x"}, "INVALID_ARGUMENT", "'file:1/model.onnx'"),
        (unload, "photos", {"now": True}, "INVALID_ARGUMENT", "unload_dependents"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(own, verb, name, parameters, code, says):
    error = refused(verb, own, name, **parameters)
    assert error.code().name == code
    assert says in error.details()
    assert index(own)["photos", "1"][0] == "READY"


@pytest.mark.parametrize("verb", [load, unload])
def test_where_it_is_not_allowed_it_says_how_to_allow_it(oip, verb):
    error = refused(verb, oip, "photos")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "explicit model load / unload is not allowed" in error.details()
    assert "--repository-mode explicit" in error.details()
