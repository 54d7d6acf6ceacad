"""tritonclient's gRPC and HTTP clients, unmodified, each in its own process."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from serving import REPOSITORY

Report = dict[str, Any]
MODELS = {"brain", "bytes", "flags", "half", "longs", "photos", "sentences", "words"}


@pytest.fixture(scope="module")
def over_grpc(session: Callable[[str], Report]) -> Report:
    return session("triton_grpc_session.py")


@pytest.fixture(scope="module")
def over_http(session: Callable[[str], Report]) -> Report:
    return session("triton_http_session.py")


@pytest.fixture(scope="module", params=["grpc", "http"])
def report(request: pytest.FixtureRequest) -> Report:
    found: Report = request.getfixturevalue(f"over_{request.param}")
    return found


@pytest.fixture(scope="module")
def logits() -> list[list[float]]:
    """What ONNX Runtime itself says of the scripts' input."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    path = REPOSITORY / "photos" / "1" / "model.onnx"
    bare = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(7).normal(size=(2, 3, 64, 64)).astype(np.float32)
    found: list[list[float]] = bare.run(["logits"], {"image": x})[0].tolist()
    return found


def test_server_and_models_say_how_they_are(report: Report) -> None:
    assert [report[key] for key in ("live", "ready", "model_ready")] == [True, True, [True, False]]
    assert report["server"]["name"] == "candor"
    assert {"statistics", "model_repository"} <= set(report["server"]["extensions"])


def test_models_are_described_and_listed(report: Report) -> None:
    assert report["outputs"] == ["logits"]
    assert [int(size) for size in report["dims"]] == [3, 64, 64]
    assert {(name, state) for name, _, state in report["index"]} == {(n, "READY") for n in MODELS}
    assert {version for _, version, _ in report["index"]} == {"1"}


def test_inference_answers_as_onnx_runtime_does(report: Report, logits: list[list[float]]) -> None:
    assert report["logits"] == report["compressed"] == logits
    assert report.get("async", logits) == logits


@pytest.mark.parametrize("name", sorted(MODELS - {"photos", "sentences"}))
def test_every_type_of_element_comes_back_as_it_was_sent(report: Report, name: str) -> None:
    assert report["echoes"][name] is True


def test_explanations_are_asked_for_by_parameters_of_every_type(report: Report) -> None:
    assert report["explained"] == [[2, 50], [2, 64, 64], [2, 64, 64], [2, 64, 64]]


def test_statistics_are_those_of_this_clients_requests(report: Report) -> None:
    statistics = report["statistics"]
    steps = statistics["inference_stats"]
    assert int(statistics["inference_count"]) >= 4
    assert int(statistics["execution_count"]) >= 2
    for step in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert int(steps[step]["count"]) >= 2
        assert int(steps[step]["ns"]) > 0
    assert int(steps["compute_infer"]["ns"]) < int(steps["success"]["ns"])


def test_an_unloaded_model_is_not_found_and_comes_back(report: Report) -> None:
    status, message = report["unloaded"]
    assert status in ("StatusCode.NOT_FOUND", "404")
    assert "'photos' is unloaded" in message
    assert (report["ready_unloaded"], report["ready_loaded"]) == (False, True)


@pytest.mark.parametrize(
    ("case", "codes", "said"),
    [
        ("unknown model", ("NOT_FOUND", "404"), "'fotos'"),
        ("method", ("INVALID_ARGUMENT", "400"), "'shap'"),
        ("config", ("INVALID_ARGUMENT", "400"), "model.toml"),
        ("shared memory", ("UNIMPLEMENTED", "404"), "candor "),
    ],
)
def test_mistakes_are_named(report: Report, case: str, codes: tuple[str], said: str) -> None:
    status, message = report["failures"][case]
    assert status.removeprefix("StatusCode.") in codes
    assert said in message


def test_requests_side_by_side_answer_alike_and_a_deadline_ends_one(over_grpc: Report) -> None:
    alike, message = over_grpc["async_infer"]
    assert alike
    # the client's own clock and the server's race to say so
    assert message in {"Deadline Exceeded", "the deadline passed before the answer was ready"}


def test_a_stream_answers_refuses_and_tells_progress(over_grpc: Report) -> None:
    answers = over_grpc["stream"]
    plain = [answer for answer in answers if answer[0] == "plain"]
    assert plain == [["plain", 0.0, False, ["logits"]]]
    ((_, message),) = [answer for answer in answers if answer[0] == "error"]
    assert message.startswith("[request id: wrong] ")
    assert "image" in message
    slow = [answer for answer in answers if answer[0] == "slow"]
    shares = [answer[1] for answer in slow]
    assert shares == sorted(shares)
    assert [answer[2] for answer in slow] == [False] * (len(slow) - 1) + [True]
    assert any(answer[3] == ["candor.lime"] for answer in slow[:-1])
    assert slow[-1][1:] == [1.0, True, ["logits", "candor.lime", "candor.lime.segments"]]


def test_tensors_may_travel_as_json(over_http: Report, logits: list[list[float]]) -> None:
    np.testing.assert_allclose(over_http["json"], logits, rtol=1e-6)


def test_classification_names_the_best_classes(
    over_http: Report, logits: list[list[float]]
) -> None:
    best = [int(row[0].split(":")[1]) for row in over_http["classes"]]
    assert best == np.argmax(logits, axis=1).tolist()
