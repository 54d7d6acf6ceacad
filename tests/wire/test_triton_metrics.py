"""Triton's metrics under their exact names, where the operator asks for them."""

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving import running
from wire.protocol import Protocol, get, infer_request

DURATIONS = {
    f"nv_inference_{step}_duration_us"
    for step in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
NAMES = DURATIONS | {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
    "nv_inference_exec_count", "nv_inference_pending_request_count",
    "nv_cache_num_hits_per_model", "nv_cache_num_misses_per_model",
    "nv_cache_hit_duration_per_model", "nv_cache_miss_duration_per_model",
}  # fmt: skip


def samples(server, model="photos"):
    """Values of the samples of one model, by name and reason."""
    text = get(f"{server.metrics_url}/metrics").text
    return {
        sample.name + sample.labels.get("reason", ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("nv_") and sample.labels["model"] == model
    }


def test_they_are_absent_unless_asked_for(server):
    assert not samples(server)


def test_they_count_what_the_statistics_count(tmp_path, pixels):
    with running(tmp_path, environ={"CANDOR_TRITON_METRICS": "true"}) as server:
        protocol = Protocol(server.grpc_target)
        before = samples(server)
        reasons = {f"nv_inference_request_failure{r}"
                   for r in ("REJECTED", "CANCELED", "BACKEND", "OTHER")}  # fmt: skip
        assert set(before) == NAMES - {"nv_inference_request_failure"} | reasons
        assert not any(before.values())
        for _ in range(2):
            parameters = {"candor.explain": "gradient"}
            protocol.infer(infer_request("photos", image=pixels, parameters=parameters))
        protocol.infer(infer_request("photos", image=pixels))
        httpx.post(f"{server.http_url}/v2/models/photos/infer", json={"inputs": []}, timeout=60)
        lime = {"candor.explain": "lime", "candor.lime.n_samples": 100_000,
                "candor.lime.segments": "grid"}  # fmt: skip
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            protocol.infer(infer_request("photos", image=pixels, parameters=lime), timeout=0.5)
        found = samples(server)
        protocol.close()
    assert found["nv_inference_request_success"] == 3
    assert found["nv_inference_count"] == 4
    assert found["nv_cache_num_hits_per_model"] == found["nv_cache_num_misses_per_model"] == 1
    assert found["nv_inference_request_failureOTHER"] >= 1
    assert sum(found[reason] for reason in reasons) in (1, 2)  # the last may still be under way
    assert all(found[name] > 0 for name in DURATIONS)
    assert found["nv_inference_request_duration_us"] > found["nv_inference_queue_duration_us"]
