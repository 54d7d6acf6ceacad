"""A server with models of every kind of element, for clients that come from elsewhere."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from onnx import TensorProto, helper

from serving import REPOSITORY, Server, running

# Name of a model that gives its input back, and the type of its elements.
ECHOES = {
    "half": TensorProto.FLOAT16,
    "brain": TensorProto.BFLOAT16,
    "words": TensorProto.STRING,
    "flags": TensorProto.BOOL,
    "bytes": TensorProto.UINT8,
    "longs": TensorProto.INT64,
}


@pytest.fixture(scope="package")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that loads and unloads on request."""
    root = tmp_path_factory.mktemp("models")
    for name in ("photos", "sentences"):
        copytree(REPOSITORY / name, root / name)
    for name, kind in ECHOES.items():
        (root / name).mkdir()
        (root / name / "model.onnx").write_bytes(_echo(kind))
    environ = {"CANDOR_REPOSITORY_MODE": "explicit"}
    with running(tmp_path_factory.mktemp("log"), root, environ) as server:
        yield server


@pytest.fixture(scope="package")
def session(explicit: Server) -> Callable[[str], dict[str, Any]]:
    """Run a client's script in a process of its own; what it reports."""

    def run(script: str) -> dict[str, Any]:
        path = Path(__file__).parent / script
        done = subprocess.run(
            [sys.executable, str(path), explicit.grpc_target, explicit.http_url],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def _echo(kind: int) -> bytes:
    x = helper.make_tensor_value_info("x", kind, ["n", 3])
    y = helper.make_tensor_value_info("y", kind, ["n", 3])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "echo", [x], [y])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content
