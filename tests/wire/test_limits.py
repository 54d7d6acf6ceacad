"""A server with tight limits: what is too much is refused in words, and the rest goes on."""

import grpc
import numpy as np
import pytest

from candor import errors
from candor.client import Client
from candor.client.asking import explain_request
from candor.v1 import explanation_pb2 as pb
from serving import running
from wire.protocol import inflight

LONG = [{"lime": {"n_samples": 100_000, "segments": "grid"}}]


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    environ = {
        "CANDOR_MAX_MESSAGE_BYTES": "300000",
        "CANDOR_EXPLAIN_QUEUE": "1",
        "CANDOR_WORKERS": "1",
        "CANDOR_MAX_IMAGE_PIXELS": "10000",
    }
    with running(tmp_path_factory.mktemp("tight"), environ=environ) as server:
        yield server


@pytest.fixture
def client(tight):
    with Client(tight.grpc_target, attempts=1) as found:
        yield found


def fresh(n=1):
    return {"image": np.random.default_rng().normal(size=(n, 3, 64, 64)).astype(np.float32)}


def test_too_large_a_request_is_refused_and_the_next_one_answered(client):
    with pytest.raises(errors.TooLarge, match="max_message_bytes"):
        client.predict("photos", tensors=fresh(10))
    assert client.predict("photos", tensors=fresh()).rows


def test_too_large_an_answer_says_how_to_ask_for_less(client):
    keep = [{"gradient": {"channels": "keep"}}]
    with pytest.raises(errors.TooLarge, match="fewer rows, targets or outputs"):
        client.explain("photos", keep, tensors=fresh(), targets=[list(range(10))])
    assert client.explain("photos", keep, tensors=fresh()).answers


def test_a_picture_with_too_many_pixels_is_refused_with_its_size(client, cat):
    with pytest.raises(errors.TooLarge, match="451 x 300"):
        client.predict("photos", images=[cat])


@pytest.fixture
def full(tight):
    """One explanation in the slot and one in the queue: all that there is room for."""
    with grpc.insecure_channel(tight.grpc_target) as channel:
        explain = channel.unary_stream("/candor.v1.ExplanationService/ExplainStream")
        calls = []  # a call that nobody holds is cancelled
        for _ in range(2):
            question = explain_request("photos", LONG, {"tensors": fresh()})
            asked = pb.ExplainStreamRequest(explain=question)
            calls.append(explain(asked.SerializeToString()))
            next(calls[-1])  # it has its place
        yield tight
    # the channel has taken its calls with it


def test_overload_is_refused_at_once_with_a_hint_and_predictions_go_on(full, client):
    with pytest.raises(errors.Overloaded) as caught:
        client.explain("photos", LONG, tensors=fresh(), timeout_s=60)
    assert caught.value.retry_after_s > 0

    request = explain_request("photos", LONG, {"tensors": fresh()}).SerializeToString()
    with (
        grpc.insecure_channel(full.grpc_target) as channel,
        pytest.raises(grpc.RpcError) as raw,
    ):
        channel.unary_unary("/candor.v1.ExplanationService/Explain")(request, timeout=60)
    assert raw.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(raw.value.trailing_metadata())
    assert int(trailers["grpc-retry-pushback-ms"]) > 0
    assert trailers["candor-error"] == "Overloaded"

    assert client.predict("photos", tensors=fresh(), timeout_s=60).rows
    assert inflight(full) == 2
