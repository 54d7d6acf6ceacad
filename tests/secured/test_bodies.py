"""How much JSON is taken over HTTP, whatever else a body may hold."""

import gzip
import json

import httpx
import numpy as np
import pytest

from candor.client.pictures import png
from secured.conftest import MODEL, bearer

PREDICT = "/candor.v1.ExplanationService/Predict"
INFER = f"/v2/models/{MODEL}/infer"
HEADER = "inference-header-content-length"
LIMIT = "max_json_bytes, 20000; send fewer rows at a time, or tensors in binary"


@pytest.fixture
def web(guarded):
    with httpx.Client(base_url=guarded.http_url, headers=bearer("all"), timeout=60) as found:
        yield found


def numbers(n_bytes):
    """JSON of about this length."""
    data = [0.0] * (n_bytes // 5)
    tensor = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("path", "content", "headers"),
    [
        (INFER, numbers(40_000), {}),
        (INFER, numbers(40_000), {HEADER: "40000"}),
        (INFER, iter([b"[" + b" " * 15_000] * 2), {}),  # no length announced
        (INFER, gzip.compress(numbers(40_000)), {"content-encoding": "gzip"}),
        (f"/v1/models/{MODEL}:predict", numbers(40_000), {}),
        ("/v2/repository/index", numbers(40_000), {}),
        (PREDICT, numbers(40_000), {"content-type": "application/json"}),
    ],
    ids=["tensors", "announced", "unannounced", "packed", "kserve-v1", "index", "connect"],
)
def test_longer_json_is_refused_with_a_way_out(web, path, content, headers):
    answer = web.post(path, content=content, headers=headers)
    # The protocol of the one has no word of its own for what is too large.
    assert answer.status_code == (429 if path == PREDICT else 413)
    assert LIMIT in answer.text


def test_what_is_binary_does_not_count(web):
    tensor = {"name": "image", "shape": [60, 1, 28, 28], "datatype": "FP32",
              "parameters": {"binary_data_size": 60 * 784 * 4}}  # fmt: skip
    head = json.dumps({"inputs": [tensor]}).encode()
    body = head + np.zeros((60, 1, 28, 28), np.float32).tobytes()
    answer = web.post(INFER, content=body, headers={HEADER: str(len(head))})
    assert answer.status_code == 200, answer.text
    bare = png(np.random.default_rng(1).integers(0, 256, (200, 200), dtype=np.uint8))
    assert len(bare) > 20_000
    assert web.post(INFER, content=bare, headers={HEADER: "0"}).status_code == 200
    # A message of protobuf is bounded by the limit of messages.
    for n_bytes, status in ((200_000, 400), (300_001, 429)):
        answer = web.post(
            PREDICT, content=b"\xff" * n_bytes, headers={"content-type": "application/proto"}
        )
        assert answer.status_code == status, answer.text
    assert "max_message_bytes, 300000" in answer.text


def test_json_within_the_limit_is_read(web):
    assert web.post(INFER, content=numbers(784 * 5)).status_code == 200
