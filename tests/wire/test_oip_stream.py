"""ModelStreamInfer: requests and answers on one stream."""

import queue
import threading

import grpc
import numpy as np
import pytest

from candor.inference.v2 import grpc_service_pb2 as pb
from serving import running
from wire.protocol import Protocol, arrays, counted, infer_request, inflight, until

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"


class Stream:
    """A stream that is written and read by hand."""

    def __init__(self, protocol, **how):
        self._requests = queue.Queue()
        stub = protocol.channel.stream_stream(
            PATH, response_deserializer=pb.ModelStreamInferResponse.FromString
        )
        self.call = stub(iter(self._requests.get, None), **how)

    def send(self, request, request_id=""):
        if isinstance(request, pb.ModelInferRequest):
            request.id = request_id
            request = request.SerializeToString()
        self._requests.put(request)

    def read(self):
        return next(self.call)

    def end(self):
        """Write no more; what is still answered."""
        self._requests.put(None)
        return list(self.call)


@pytest.fixture
def stream(oip):
    opened = Stream(oip, timeout=300)
    yield opened
    opened.call.cancel()


def lime(pixels, n_samples=1000, **parameters):
    parameters = {name.replace("__", "."): value for name, value in parameters.items()}
    return infer_request(
        "photos",
        image=pixels[:1],
        parameters={
            "candor.explain": "lime",
            "candor.lime.n_samples": n_samples,
            "candor.lime.segments": "grid",  # noise has few others, and few samples that differ
            "candor.cache": "bypass",
            **parameters,
        },
    )


def test_predictions_are_answered_in_their_order_as_by_a_plain_call(oip, stream, pixels):
    single, _ = oip.infer(infer_request("photos", image=pixels))
    rng = np.random.default_rng()
    for count in (16, 1, 1, 8, 1):
        rows = rng.normal(size=(count, 3, 64, 64)).astype(np.float32)
        stream.send(infer_request("photos", image=rows), f"{count}")
    stream.send(infer_request("photos", image=pixels), "known")
    answers = stream.end()
    assert [a.infer_response.id for a in answers] == ["16", "1", "1", "8", "1", "known"]
    assert not any(a.error_message for a in answers)
    last = answers[-1].infer_response
    # up to rounding: those that wait at the same time may share a run
    np.testing.assert_allclose(arrays(last)["logits"], single["logits"], rtol=1e-4, atol=1e-5)
    assert {name: p.bool_param for name, p in last.parameters.items()} == {
        "triton_final_response": True
    }
    assert stream.call.code() is grpc.StatusCode.OK


def test_a_failure_is_one_requests_own_and_names_it(stream, pixels):
    stream.send(infer_request("photos", image=pixels[:, :2]), "shape")
    stream.send(infer_request("fotos", image=pixels), "name")
    stream.send(b"\xff\xff")
    stream.send(infer_request("photos", image=pixels, parameters={"candor.explain": "shap"}), "how")
    stream.send(infer_request("photos", image=pixels), "good")
    answers = {answer.infer_response.id: answer for answer in stream.end()}
    for request_id, code, says in (
        ("shape", "INVALID_ARGUMENT", "image"),
        ("name", "NOT_FOUND", "'fotos'"),
        ("", "INVALID_ARGUMENT", "not a valid ModelInferRequest"),
        ("how", "INVALID_ARGUMENT", "'shap'"),
    ):
        answer = answers.pop(request_id)
        assert says in answer.error_message
        assert answer.error_message.startswith(f"[request id: {request_id}] " if request_id else "")
        assert answer.infer_response.parameters["candor.code"].string_param == code
        assert answer.infer_response.parameters["triton_final_response"].bool_param
        assert not answer.infer_response.outputs
    assert not answers.pop("good").error_message
    assert not answers


def test_an_explanation_tells_its_progress_and_shows_partial_maps(stream, pixels):
    # reports come fifty milliseconds apart
    request = lime(pixels, 3000, triton_enable_empty_final_response=True)
    stream.send(request, "slow")
    answers = [answer.infer_response for answer in stream.end()]
    *progress, last = answers
    assert len(progress) > 3
    shares = [p.parameters["candor.progress"].double_param for p in answers]
    assert shares == sorted(shares)
    assert (shares[0] < 0.5, shares[-1]) == (True, 1.0)
    finals = [a.parameters["candor.final"].bool_param for a in answers]
    assert finals == [a.parameters["triton_final_response"].bool_param for a in answers]
    assert finals == [False] * len(progress) + [True]
    assert {(a.id, a.model_name, a.model_version) for a in answers} == {("slow", "photos", "1")}
    assert {p.parameters["candor.method"].string_param for p in progress} == {"lime"}
    shown = [p for p in progress if p.outputs]
    assert shown
    assert arrays(shown[0])["candor.lime"].shape == (1, 64, 64)
    final = arrays(last)
    assert set(final) == {"logits", "candor.lime", "candor.lime.segments"}
    assert np.corrcoef(arrays(shown[-1])["candor.lime"].ravel(), final["candor.lime"].ravel())[
        0, 1
    ] == pytest.approx(1, abs=1e-4)


def test_progress_is_of_the_whole_request(stream, pixels):
    request = infer_request(
        "photos",
        image=pixels,
        parameters={
            "candor.explain": "gradient,lime",
            "candor.targets": "1,2",
            "candor.lime.n_samples": 150,
            "candor.cache": "bypass",
        },
    )
    stream.send(request)
    *progress, last = [answer.infer_response for answer in stream.end()]
    shares = [p.parameters["candor.progress"].double_param for p in progress]
    # Gradients come first and are half of the eight answers.
    first = [p.parameters["candor.method"].string_param for p in progress[:4]]
    assert first == ["gradient"] * 4
    assert shares[:4] == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])
    assert all(0.5 <= share < 1 for share in shares[4:])
    assert arrays(last)["candor.lime"].shape == (2, 2, 64, 64)


def test_only_named_outputs_are_shown_on_the_way(stream, pixels):
    request = lime(pixels, 200)
    request.outputs.add(name="logits")
    stream.send(request)
    answers = [answer.infer_response for answer in stream.end()]
    assert {output.name for answer in answers for output in answer.outputs} == {"logits"}


def test_a_long_explanation_does_not_hold_up_predictions(stream, pixels):
    stream.send(lime(pixels, 100_000), "slow")
    stream.send(infer_request("photos", image=pixels), "quick")
    finals = []
    while len(finals) < 1:
        response = stream.read().infer_response
        if response.parameters["triton_final_response"].bool_param:
            finals.append(response.id)
    assert finals == ["quick"]


def test_hanging_up_stops_the_work(server, oip, pixels):
    until(lambda: not inflight(server))  # what others have left
    ran = counted(server, "candor_model_calls_total", 'program="perturb"')
    stream = Stream(oip, timeout=300)
    stream.send(lime(pixels, 100_000))
    stream.read()
    assert inflight(server) == 1
    stream.call.cancel()
    until(lambda: not inflight(server))
    assert counted(server, "candor_model_calls_total", 'program="perturb"') - ran < 90_000


def test_the_timeout_of_one_request_is_its_own(stream, pixels):
    stream.send(lime(pixels, 100_000, timeout=100_000), "late")
    stream.send(infer_request("photos", image=pixels), "good")
    answers = stream.end()
    late = [a for a in answers if a.infer_response.id == "late"][-1]
    assert late.infer_response.parameters["candor.code"].string_param == "DEADLINE_EXCEEDED"
    assert [a.error_message for a in answers if a.infer_response.id == "good"] == [""]


def test_requests_of_a_stream_are_counted_one_by_one(oip, stream, pixels):
    def success():
        request = pb.ModelStatisticsRequest(name="photos")
        return oip.call("ModelStatistics", request).model_stats[0].inference_stats.success.count

    before = success()
    for _ in range(3):
        stream.send(infer_request("photos", image=pixels))
    stream.end()
    assert success() - before == 3


def test_an_answer_over_the_limit_is_one_requests_failure(tmp_path, pixels):
    with running(tmp_path, environ={"CANDOR_MAX_MESSAGE_BYTES": "200000"}) as server:
        protocol = Protocol(server.grpc_target)
        stream = Stream(protocol, timeout=300)
        request = infer_request(
            "photos", image=pixels, parameters={"candor.targets": "1,2,3,4,5,6,7,8,9"}
        )
        request.parameters["candor.explain"].string_param = "gradient"
        stream.send(request, "large")
        stream.send(infer_request("photos", image=pixels), "small")
        answers = [a for a in stream.end() if a.error_message or not a.infer_response.parameters]
        assert "max_message_bytes" in answers[0].error_message

        # A stream that idles holds nobody up, and what is under way is finished.
        idle = Stream(protocol, timeout=300)
        idle.send(lime(pixels, 2000), "under way")
        idle.read()
        ends = []
        reading = threading.Thread(target=lambda: ends.extend(idle.call))
        reading.start()
        assert server.stop() == 0
        reading.join(120)
        assert ends[-1].infer_response.parameters["candor.final"].bool_param
        assert idle.call.code() is grpc.StatusCode.OK
        protocol.close()
