"""ModelStatistics: counts and durations that were measured."""

import time
from itertools import pairwise

import grpc
import numpy as np
import pytest

from candor.inference.v2 import grpc_service_pb2 as pb
from wire.protocol import infer_request

STEPS = ("queue", "compute_input", "compute_infer", "compute_output")


def statistics(oip, name="photos", version=""):
    request = pb.ModelStatisticsRequest(name=name, version=version)
    (found,) = oip.call("ModelStatistics", request).model_stats
    return found


def grown(before, after):
    """How the counts and nanoseconds of each duration grew."""
    pairs = {}
    for field in before.inference_stats.DESCRIPTOR.fields:
        old, new = (getattr(s.inference_stats, field.name) for s in (before, after))
        pairs[field.name] = (new.count - old.count, new.ns - old.ns)
    return pairs


def test_a_prediction_counts_once_with_the_time_of_each_step(oip, pixels):
    before, began, began_ns = statistics(oip), time.time(), time.perf_counter_ns()
    oip.infer(infer_request("photos", image=pixels))
    wall_ns = time.perf_counter_ns() - began_ns
    after = statistics(oip)
    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert began * 1000 - 1 <= after.last_inference <= time.time() * 1000
    growth = grown(before, after)
    assert {step: growth[step][0] for step in ("success", *STEPS)} == dict.fromkeys(
        ("success", *STEPS), 1
    )
    assert (growth["fail"], growth["cache_hit"], growth["cache_miss"]) == ((0, 0),) * 3
    spent = sum(growth[step][1] for step in STEPS)
    assert growth["compute_infer"][1] > 0
    assert 0 < spent <= growth["success"][1] <= wall_ns


def test_runs_are_told_apart_by_their_rows(oip, pixels):
    def of_three(found):
        return next((b.compute_infer for b in found.batch_stats if b.batch_size == 3), None)

    three = np.concatenate([pixels, pixels[:1]])
    oip.infer(infer_request("photos", image=three))
    before = of_three(statistics(oip))
    count, ns = before.count, before.ns
    oip.infer(infer_request("photos", image=three))
    after = of_three(statistics(oip))
    assert (after.count - count, after.ns > ns) == (1, True)


def test_what_the_cache_answers_is_a_hit_and_no_inference(oip):
    image = np.random.default_rng().normal(size=(1, 3, 64, 64)).astype(np.float32)
    request = infer_request("photos", image=image, parameters={"candor.explain": "gradient"})
    states = [statistics(oip)]
    for _ in range(2):
        oip.infer(request)
        states.append(statistics(oip))
    first, second = (grown(*pair) for pair in pairwise(states))
    assert (first["cache_miss"][0], first["cache_hit"][0], first["queue"][0]) == (1, 0, 1)
    assert (second["cache_miss"][0], second["cache_hit"][0], second["queue"][0]) == (0, 1, 0)
    assert second["cache_hit"][1] > 0
    assert second["success"][0] == 1
    assert states[1].execution_count > states[0].execution_count
    assert states[2].execution_count == states[1].execution_count
    assert states[2].inference_count == states[1].inference_count


def test_samples_of_an_explanation_are_executions_and_no_inferences(oip, pixels):
    parameters = {"candor.explain": "lime", "candor.lime.n_samples": 200, "candor.cache": "bypass"}
    before = statistics(oip)
    oip.infer(infer_request("photos", image=pixels[:1], parameters=parameters))
    after = statistics(oip)
    assert after.inference_count - before.inference_count == 1
    assert after.execution_count - before.execution_count > 1
    growth = grown(before, after)
    assert (growth["cache_hit"][0], growth["cache_miss"][0]) == (0, 0)


def test_a_refused_request_is_a_failure_and_nothing_else(oip, pixels):
    before = statistics(oip)
    with pytest.raises(grpc.RpcError):
        oip.infer(infer_request("photos", image=pixels[:, :2]))
    growth = grown(before, statistics(oip))
    assert growth["fail"][0] == 1
    assert growth["fail"][1] > 0
    assert growth["success"] == growth["queue"] == (0, 0)


def test_no_name_is_every_model_that_is_served(oip):
    every = oip.call("ModelStatistics", pb.ModelStatisticsRequest()).model_stats
    assert {("photos", "1"), ("sentences", "1")} <= {(s.name, s.version) for s in every}
    assert all(int(s.version) > 0 for s in every)  # load generators read a number


@pytest.mark.parametrize(("name", "version"), [("fotos", ""), ("photos", "9")])
def test_what_is_not_there_counts_nothing(oip, name, version):
    with pytest.raises(grpc.RpcError) as caught:
        statistics(oip, name, version)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert f"'{name}'" in caught.value.details()


def test_every_answer_brings_the_times_of_its_steps_over_grpc_and_http(oip, web, pixels):
    def steps(header):
        parts = (part.strip().split(";dur=") for part in header.split(","))
        return {name: float(milliseconds) for name, milliseconds in parts}

    path = "/inference.GRPCInferenceService/ModelInfer"
    explain = {"candor.explain": "gradient", "candor.cache": "bypass"}
    for parameters, names in (
        ({}, {"queue", "prepare", "compute", "read", "write"}),
        (explain, {"queue", "prepare", "look_up", "compute", "total", "read", "write"}),
    ):
        request = infer_request("photos", image=pixels, parameters=parameters)
        _, call = oip.channel.unary_unary(path).with_call(request.SerializeToString())
        found = steps(dict(call.trailing_metadata())["server-timing"])
        assert set(found) == names
        assert found["compute"] > 0
        assert min(found.values()) >= 0
    asked = {"instances": pixels.tolist(), "parameters": {}}
    answer = web.post("/v1/models/photos:predict", json=asked)
    assert steps(answer.headers["server-timing"])["compute"] > 0
    assert "server-timing" not in web.get("/v2").headers
