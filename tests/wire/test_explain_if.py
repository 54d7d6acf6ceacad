"""Explanations of only those rows that call for one, over every way in."""

import json

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from candor import errors
from cli.running import candor
from wire.protocol import get, infer_request

MODEL = "digits-lenet"
LIME = {"lime": {"n_samples": 60, "segments": "grid"}}
OIP = {"candor.explain": "lime,grad_cam", "candor.lime.n_samples": 60,
       "candor.lime.segments": "grid", "candor.cache": "bypass"}  # fmt: skip


@pytest.fixture(scope="module")
def six():
    """Rows that nobody else sends."""
    return np.random.default_rng(29).normal(size=(6, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="module")
def asked(client, six):
    """The condition in words, which rows meet it, and what all are explained by."""
    everything = client.explain(MODEL, [LIME, "grad_cam"], tensors={"image": six})
    top = everything.prediction.probabilities.max(axis=1)
    bound = float(np.sort(top)[2:4].mean())
    return f"top_probability<{bound:.9g}", (top < bound).tolist(), everything


def perturbed(server):
    """Rows that LIME has run on the model so far."""
    families = text_string_to_metric_families(get(f"{server.metrics_url}/metrics").text)
    wanted = {"model": MODEL, "program": "perturb"}
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "candor_model_calls_total" and wanted.items() <= sample.labels.items()
    )


def test_client_says_which_rows_were_not_explained_and_why(client, six, asked):
    condition, meets, everything = asked
    found = client.explain(MODEL, [LIME, "grad_cam"], tensors={"image": six}, explain_if=condition)
    assert sum(meets) == 3
    for method in ("lime", "grad_cam"):
        for row, explained in enumerate(meets):
            answer, full = found.of(method, row), everything.of(method, row)
            assert answer.values.shape == full.values.shape
            assert answer.target == full.target
            assert answer.trust["probability"] == pytest.approx(full.trust["probability"], rel=1e-5)
            if explained:
                assert answer.not_explained == ""
                np.testing.assert_array_equal(answer.values, full.values)
            else:
                assert answer.not_explained.startswith("top probability 0.")
                assert answer.trust["not_explained"] == answer.not_explained
                assert np.isnan(answer.values).all()
                assert answer.segments is None
                assert answer.trust["n_evaluations"] == 0
    np.testing.assert_allclose(
        found.prediction.probabilities, everything.prediction.probabilities, rtol=1e-5
    )


def test_rows_that_are_not_explained_cost_no_runs(server, client, six, asked):
    condition, meets, _ = asked
    before = perturbed(server)
    client.explain(MODEL, [LIME], tensors={"image": six}, explain_if=condition, cache="bypass")
    some = perturbed(server) - before
    client.explain(MODEL, [LIME], tensors={"image": six}, cache="bypass")
    everything = perturbed(server) - before - some
    assert some * len(meets) == everything * sum(meets) > 0  # as many samples a row
    client.explain(
        MODEL, [LIME], tensors={"image": six}, explain_if="top_probability>1", cache="bypass"
    )
    assert perturbed(server) == before + some + everything


def test_outputs_of_the_open_protocol_stay_aligned_with_the_rows(oip, six, asked):
    condition, meets, _ = asked
    request = infer_request(MODEL, parameters={**OIP, "candor.explain_if": condition}, image=six)
    found, response = oip.infer(request)
    passed = [not explained for explained in meets]
    for method in ("lime", "grad_cam"):
        values = found[f"candor.{method}"]
        assert values.shape == (6, 28, 28)
        assert np.isnan(values).all(axis=(1, 2)).tolist() == passed
        assert np.isfinite(values[meets]).all()
        trust = json.loads(response.parameters[f"candor.{method}.trust"].string_param)
        assert [bool(record.get("not_explained")) for record in trust] == passed
    segments = found["candor.lime.segments"]
    assert (segments == -1).all(axis=(1, 2)).tolist() == passed
    assert response.parameters["candor.cache_status"].string_param == "bypass"


def test_cache_status_is_that_of_the_rows_that_were_explained(oip, six, asked):
    condition, _, _ = asked
    used = {**OIP, "candor.cache": "use", "candor.explain_if": condition}
    statuses = [
        oip.infer(infer_request(MODEL, parameters=used, image=six))[1]
        .parameters["candor.cache_status"]
        .string_param
        for _ in range(2)
    ]
    assert statuses[1] == "hit"


def test_json_has_null_where_there_is_no_explanation(web, six, asked):
    condition, meets, _ = asked
    pixels = {"name": "image", "datatype": "FP32", "shape": list(six.shape),
              "data": six.reshape(-1).tolist()}  # fmt: skip
    asks = {"inputs": [pixels], "parameters": {"candor.explain": "grad_cam",
            "candor.explain_if": condition}, "outputs": [{"name": "candor.grad_cam"}]}  # fmt: skip
    answer = web.post("/v2/models/digits-lenet/infer", json=asks)
    assert "NaN" not in answer.text
    values = np.array(answer.json()["outputs"][0]["data"], dtype=np.float32).reshape(6, -1)
    assert np.isnan(values).all(axis=1).tolist() == [not explained for explained in meets]

    old = web.post("/v1/models/digits-lenet:explain", json={"instances": six.tolist(),
                   "parameters": asks["parameters"]})  # fmt: skip
    assert "NaN" not in old.text
    first = [row["grad_cam"]["values"][0][0] for row in old.json()["explanations"]]
    assert [value is not None for value in first] == meets


def test_a_stream_tells_no_map_of_rows_that_are_passed_over(client, six, asked):
    condition, meets, _ = asked
    seen = []
    found = client.explain(
        MODEL, [LIME], tensors={"image": six}, explain_if=condition, cache="bypass",
        on_progress=seen.append,
    )  # fmt: skip
    assert [not found.of("lime", row).not_explained for row in range(6)] == meets
    with_map = {progress.row for progress in seen if progress.partial is not None}
    assert with_map <= {row for row, explained in enumerate(meets) if explained}
    assert {progress.row for progress in seen if progress.fraction == 1} == set(range(6))


def test_nothing_is_drawn_of_a_row_that_is_not_explained(client, cat):
    never = client.explain(
        MODEL, ["grad_cam"], images=[cat], render=True, explain_if="top_probability>1"
    )
    always = client.explain(
        MODEL, ["grad_cam"], images=[cat], render=True, explain_if="top_probability<=1"
    )
    assert never.of("grad_cam").overlay_png == b""
    assert always.of("grad_cam").overlay_png


@pytest.mark.parametrize("condition", ["sometimes", "top_probability<2", "top_probability"])
def test_a_condition_that_is_none_is_refused(client, oip, six, condition):
    with pytest.raises(errors.InvalidOption, match="explain_if is"):
        client.explain(MODEL, ["grad_cam"], tensors={"image": six}, explain_if=condition)
    parameters = {"candor.explain": "grad_cam", "candor.explain_if": condition}
    with pytest.raises(Exception, match="explain_if is"):
        oip.infer(infer_request(MODEL, parameters=parameters, image=six))


def test_command_line_says_so_in_words_and_in_json(server, tmp_path):
    words = ("explain", "--text", "Not a bad film.", "--model", "sentences",
             "--methods", "gradient", "--explain-if", "top_probability > 1",
             "--server", server.grpc_target)  # fmt: skip
    shown = candor(*words)
    assert shown.returncode == 0, shown.stderr
    assert "not explained: top probability" in shown.stdout
    (record,) = json.loads(candor(*words, "--json").stdout)
    (answer,) = record["answers"]
    assert answer["values"] is None
    assert answer["not_explained"].endswith("is not > 1")
