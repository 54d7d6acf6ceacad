"""The generated code is what the protos say, and keeps out of others' way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving import ROOT

CALLER = """
import sys
import grpc
import numpy as np
{imports}
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = rpc.GRPCInferenceServiceStub(channel)
    image = np.zeros((1, 3, 64, 64), np.float32)
    request = pb.ModelInferRequest(model_name="photos", raw_input_contents=[image.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=image.shape)
    request.parameters["candor.explain"].string_param = "cam"
    answer = stub.ModelInfer(request)
    print(answer.DESCRIPTOR.full_name, *(output.name for output in answer.outputs))
    print(stub.ServerReady(pb.ServerReadyRequest()).ready)
assert not any(name.startswith("candor") for name in sys.modules)
"""


def test_generated_code_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_our_messages_leave_the_public_package_to_others():
    # In a process of its own: here a test may have brought a client that defines that package.
    code = """
from google.protobuf import descriptor_pool
from candor.inference.v2 import grpc_service_pb2
print(grpc_service_pb2.DESCRIPTOR.package)
descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "service")},
    )
    assert done.stdout.split() == ["candor.inference.v2"]
    assert "KeyError" in done.stderr


def test_our_protocol_is_tritons_number_for_number_and_both_live_in_one_process():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("compare_with_triton.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "service")},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


@pytest.mark.parametrize(
    ("include", "proto", "module"),
    [
        ("protos", "inference/grpc_service.proto", "inference"),
        ("protos/inference", "grpc_service.proto", ""),
    ],
)
def test_stubs_that_anyone_generates_from_the_protos_talk_to_the_server(
    server, tmp_path, include, proto, module
):
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / include}"),
            *(f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", proto),
        ],
        check=True,
    )
    names = ("grpc_service_pb2 as pb", "grpc_service_pb2_grpc as rpc")
    source = f"from {module} " if module else ""
    script = tmp_path / "caller.py"
    script.write_text(CALLER.format(imports="\n".join(f"{source}import {n}" for n in names)))
    done = subprocess.run(
        [sys.executable, script, server.grpc_target],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "inference.ModelInferResponse logits candor.cam",
        "True",
    ]
