"""An unmodified tritonclient, in its own process, against the running service."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from serving import REPOSITORY, Server


@pytest.fixture(scope="module")
def report(server: Server) -> dict[str, Any]:
    script = Path(__file__).parent / "triton_session.py"
    done = subprocess.run(
        [sys.executable, str(script), server.grpc_target],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bare_logits() -> np.ndarray:
    """What ONNX Runtime itself says of the script's input."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    path = REPOSITORY / "photos" / "1" / "model.onnx"
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(7).normal(size=(2, 3, 64, 64)).astype(np.float32)
    return session.run(["logits"], {"image": x})[0]


def test_server_and_model_say_that_they_are_ready(report: dict[str, Any]) -> None:
    assert [report[key] for key in ("live", "ready", "model_ready", "live_after")] == [True] * 4


def test_metadata_lists_only_the_models_own_outputs(report: dict[str, Any]) -> None:
    assert report["outputs"] == ["logits"]
    assert report["shape"] == [-1, 3, 64, 64]
    assert {"grad_cam", "lime"} <= set(report["methods"].split(","))


def test_plain_request_answers_as_onnx_runtime_does(report: dict[str, Any]) -> None:
    plain = report["plain"]
    assert np.array(plain["logits"], np.float32).tobytes() == bare_logits().tobytes()
    assert (plain["id"], plain["version"], plain["outputs"]) == ("plain-1", "1", ["logits"])
    assert not [name for name in plain["parameters"] if name.startswith("candor.")]


def test_explanations_ride_as_extra_outputs(report: dict[str, Any]) -> None:
    explained = report["explained"]
    assert explained["outputs"] == {
        "logits": [2, 50],
        "candor.grad_cam": [2, 64, 64],
        "candor.gradient": [2, 64, 64],
    }
    np.testing.assert_allclose(explained["logits"], bare_logits(), atol=1e-4)
    assert [record["target"]["plus"] for record in explained["trust"]] == [3, 3]
    assert explained["status"] == "miss"
    assert len(explained["digest"]) == 64


def test_named_outputs_are_all_that_comes_back(report: dict[str, Any]) -> None:
    assert report["named"] == ["candor.grad_cam"]


def test_classification_output_names_the_top_classes(report: dict[str, Any]) -> None:
    top = bare_logits().argmax(axis=1)
    assert [len(row) for row in report["classes"]] == [3, 3]
    assert [int(row[0].split(":")[1]) for row in report["classes"]] == top.tolist()


def test_encoded_pictures_and_texts_are_prepared_in_the_server(report: dict[str, Any]) -> None:
    assert report["picture"]["top"] == 3  # a cup of espresso
    assert report["picture"]["cam"] == [1, 64, 64]
    assert np.array(report["text"]["lime"]).shape == (1, 5)
    assert report["text"]["segments"] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("unknown_method", "INVALID_ARGUMENT", "shap"),
        ("unknown_option", "INVALID_ARGUMENT", "samples"),
        ("range", "INVALID_ARGUMENT", "n_samples"),
        ("target", "INVALID_ARGUMENT", "5000"),
        ("layer", "NOT_FOUND", "nowhere"),
        ("parameter", "INVALID_ARGUMENT", "candor.explain"),
    ],
)
def test_mistakes_are_named(report: dict[str, Any], case: str, code: str, said: str) -> None:
    status, message = report["failures"][case]
    assert status == f"StatusCode.{code}"
    assert said in message
