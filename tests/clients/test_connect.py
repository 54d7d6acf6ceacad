"""Connect's own clients: the one for Node, and buf's, which is written in Go."""

import base64
import json
import os
import subprocess

import numpy as np
import pytest

from candor.client import Client
from serving import ROOT

CLIENT = ROOT / ".cache/connect/node_modules"
BUF = ROOT / ".cache/buf/node_modules/.bin/buf"
STREAM = "candor.v1.ExplanationService/ExplainStream"


@pytest.fixture(scope="module")
def node(explicit, tmp_path_factory):
    """What the client for Node reports."""
    assert CLIENT.exists(), f"no {CLIENT}; make setup brings it"
    path = tmp_path_factory.mktemp("connect") / "descriptors.binpb"
    subprocess.run([str(BUF), "build", "protos", "-o", str(path)], cwd=ROOT, check=True)
    script = ROOT / "tests/clients/connect_session.cjs"
    done = subprocess.run(
        ["node", str(script), explicit.http_url, str(path)],
        env=os.environ | {"NODE_PATH": str(CLIENT)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def lime(explicit):
    """The same by our own client over gRPC."""
    with Client(explicit.grpc_target) as client:
        methods = [{"lime": {"n_samples": 4000, "seed": 5}}]
        return client.explain("sentences", methods, texts=["Not a bad film."]).of("lime").values


@pytest.mark.parametrize("way", ["json", "binary"])
def test_node_streams_as_our_own_client_does(node, lime, way):
    found = node[way]
    for name in ("values", "unary", "packed"):
        values = np.frombuffer(base64.b64decode(found[name]), np.float32)
        np.testing.assert_array_equal(values, lime.ravel())
    assert found["fractions"]
    assert found["fractions"] == sorted(found["fractions"])
    assert "compute;dur=" in found["trailers"]["server-timing"]
    unknown = found["unknown"]
    assert unknown["code"] == "NotFound"
    assert "'fotos'" in unknown["message"]
    assert unknown["request"]
    assert unknown["details"] == ["google.rpc.ErrorInfo", "google.rpc.RequestInfo"]
    assert found["late"]["code"] == "DeadlineExceeded"
    assert found["left"]["code"] == "Canceled"


def test_buf_streams(explicit, lime):
    asked = {
        "explain": {
            "model": "sentences",
            "input": {"texts": {"texts": ["Not a bad film."]}},
            "methods": [{"lime": {"nSamples": 4000, "seed": 5}}],
        }
    }
    done = subprocess.run(
        [str(BUF), "curl", "--schema", "protos", "--protocol", "connect",
         "-d", json.dumps(asked), f"{explicit.http_url}/{STREAM}"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    decoder, text, messages = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        message, end = decoder.raw_decode(text)
        messages.append(message)
        text = text[end:].lstrip()
    assert len(messages) >= 2
    assert all("progress" in message for message in messages[:-1])
    data = messages[-1]["result"]["attributions"][0]["values"]["data"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(data), np.float32), lime.ravel())
