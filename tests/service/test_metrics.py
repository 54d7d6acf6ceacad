"""What Prometheus sees: scraped from the running service."""

import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest
import skimage.data
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from candor.client import Client
from candor.errors import CandorError
from serving import Server
from wire.protocol import until

NAMES = {
    "candor_requests", "candor_request_seconds", "candor_queue_seconds", "candor_batch_size",
    "candor_model_calls", "candor_program_seconds", "candor_cache", "candor_cache_seconds",
    "candor_inflight", "candor_queue_depth", "candor_shed", "candor_explanation_fidelity",
    "candor_model_info", "candor_model_load_seconds",
}  # fmt: skip


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - our own server
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(server: Server) -> dict[str, Metric]:
    code, text = fetch(f"{server.metrics_url}/metrics")
    assert code == 200
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(server: Server, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    family = scrape(server)[name.removesuffix("_total").removesuffix("_count")]
    return sum(
        sample.value
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def row(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"image": rng.normal(size=(1, 3, 64, 64)).astype(np.float32)}


def test_every_metric_of_the_contract_is_exported(server: Server, client: Client) -> None:
    client.explain("photos", ["lime"], tensors=row(1))
    assert not NAMES - scrape(server).keys()


def test_requests_are_counted_by_model_method_and_code(server: Server, client: Client) -> None:
    def count() -> list[float]:
        return [
            value(server, "candor_requests_total", model="photos", method="predict", code="OK"),
            value(server, "candor_requests_total", model="photos", method="cam", code="OK"),
            value(server, "candor_requests_total", code="NOT_FOUND"),
        ]

    before = count()
    client.predict("photos", tensors=row(2))
    client.explain("photos", ["cam"], tensors=row(2))
    with pytest.raises(CandorError):
        client.predict("nonsense", tensors=row(2))
    assert [after - b for after, b in zip(count(), before, strict=True)] == [1, 1, 1]
    models = {s.labels["model"] for s in scrape(server)["candor_requests"].samples}
    assert "nonsense" not in models


def test_cached_answer_counts_as_hit_and_runs_nothing(server: Server, client: Client) -> None:
    first = client.explain("photos", ["lime"], tensors=row(3)).of("lime")
    rows = value(server, "candor_model_calls_total", model="photos")
    hits = value(server, "candor_cache_total", status="hit")
    again = client.explain("photos", ["lime"], tensors=row(3)).of("lime")
    assert (first.cache, again.cache) == ("miss", "hit")
    assert value(server, "candor_cache_total", status="hit") == hits + 1
    assert value(server, "candor_model_calls_total", model="photos") == rows
    np.testing.assert_array_equal(first.values, again.values)
    assert again.trust == first.trust


def test_rows_run_are_those_that_the_trust_record_counts(server: Server, client: Client) -> None:
    before = value(server, "candor_model_calls_total", model="photos")
    photograph = skimage.data.coffee()
    answer = client.explain("photos", ["lime"], images=[photograph], cache="bypass").of("lime")
    after = value(server, "candor_model_calls_total", model="photos")
    assert answer.trust["figures"]["n_samples"] == 1000
    # 1,000 draws over some fifty segments do not repeat; one more row names the top class.
    assert after - before == answer.trust["n_evaluations"] + 1 == 1001


def test_grad_cam_and_prediction_are_one_run(server: Server, client: Client) -> None:
    before = {p: value(server, "candor_model_calls_total", program=p) for p in PROGRAMS}
    client.explain("photos", ["grad_cam"], tensors=row(5))
    after = {p: value(server, "candor_model_calls_total", program=p) for p in PROGRAMS}
    assert {p: after[p] - before[p] for p in PROGRAMS} == {
        "predict": 0, "forward": 0, "grad_cam": 1, "gradient": 0,
    }  # fmt: skip


PROGRAMS = ("predict", "forward", "grad_cam", "gradient")


def test_a_method_s_time_ends_with_its_own_answers(server: Server, client: Client) -> None:
    def seconds(method: str) -> float:
        samples = scrape(server)["candor_request_seconds"].samples
        wanted = {"model": "photos", "method": method}
        sums = (
            s for s in samples if s.name.endswith("_sum") and wanted.items() <= s.labels.items()
        )
        return sum(sample.value for sample in sums)

    before = {method: seconds(method) for method in ("grad_cam", "lime")}
    timings = client.explain("photos", ["grad_cam", "lime"], tensors=row(8)).timings_s
    taken = {method: seconds(method) - earlier for method, earlier in before.items()}
    # LIME begins when the maps are there: it is all that grad_cam did not wait for
    assert 0 < taken["grad_cam"] < taken["lime"]
    assert taken["lime"] >= 0.99 * timings["total"]


def test_nothing_is_in_flight_when_nothing_is_asked(server: Server, client: Client) -> None:
    client.explain("photos", ["cam", "lime"], tensors=row(6))
    # Others may have left something that has still to end.
    until(lambda: value(server, "candor_inflight") + value(server, "candor_queue_depth") == 0)


def test_promtool_finds_nothing_to_mend(server: Server, client: Client) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; `make setup` brings it from Debian's prometheus package"
    client.explain("photos", ["cam", "lime"], tensors=row(7))
    _, text = fetch(f"{server.metrics_url}/metrics")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "candor_" in line]
    assert not ours


def test_probes_answer_on_both_ports(server: Server) -> None:
    for url in (server.http_url, server.metrics_url):
        assert fetch(f"{url}/healthz/live")[0] == 200
        assert fetch(f"{url}/healthz/ready")[0] == 200
