"""`candor.trust=full` against the running service, by every way in, for every kind of input."""

import json

import grpc
import numpy as np
import pytest

from candor import errors
from candor.client import Client
from candor.explain.examination import FIGURES, N_REMOVALS
from candor.explain.repeats import N_NOISY
from candor.v1 import explanation_pb2 as pb
from wire.protocol import get, infer_request

LIME = {"lime": {"n_samples": 100, "n_segments": 9}}


def fresh(n=1):
    """Rows that no cache can know."""
    return {"image": np.random.default_rng().normal(size=(n, 1, 28, 28)).astype(np.float32)}


def row_of(client: Client, model: str):
    """A row of a model's own input: noise, records as people are, or a text."""
    rng = np.random.default_rng()
    ((name, _, shape),) = client.model(model).inputs
    if model == "adult-mlp":
        record = [39, 4, 77516, 9, 13, 4, 0, 1, 4, 1, 2174, 0, 40, 38]
        return {"tensors": {name: np.array([record], dtype=np.float32)}}
    free = [n if n > 0 else 12 for n in shape[1:]]
    return {"tensors": {name: rng.normal(size=(1, *free)).astype(np.float32)}}


BOUNDS = {
    "deletion_auc": (0, 1),
    "insertion_auc": (0, 1),
    "relative_infidelity": (0, 1),
    "faithfulness_correlation": (-1, 1),
    "class_correlation": (-1, 1),
}


@pytest.mark.parametrize(
    ("model", "methods"),
    [
        ("digits-lenet", ["grad_cam", "gradient", {"smooth_grad": {"n_samples": 5}}, LIME]),
        ("gunpoint-fcn", ["cam", {"integrated_gradients": {"n_steps": 8}}, LIME]),
        ("vowels-gru", ["gradient", {"occlusion": {"window": 4}}]),
        ("adult-mlp", ["gradient", "occlusion", LIME]),
    ],
)
def test_every_figure_is_measured_or_said_why_not(client, model, methods):
    answers = client.explain(model, methods, **row_of(client, model), trust="full").answers
    assert len(answers) == len(methods)
    for answer in answers:
        trust = answer.trust
        assert trust["trust"] == "full"
        for figure in FIGURES:
            value = trust["figures"][figure]
            if value is None:  # as where a map of noise is zero everywhere
                assert len(trust["examined"]["not_measured"][figure]) > 10
                continue
            low, high = BOUNDS.get(figure, (0, np.inf))
            assert low <= value <= high
            assert np.isfinite(value)
        if trust["figures"]["deletion_auc"] is None:
            continue
        n_states = trust["examined"]["n_steps"] + 1
        assert len(trust["examined"]["deletion"]) == len(trust["examined"]["insertion"]) == n_states
        assert trust["examined"]["deletion"][0] == pytest.approx(trust["probability"], abs=1e-5)


def test_words_are_examined_and_the_reason_why_they_have_no_neighbours_is_given(client):
    answers = client.explain(
        "sentences", ["gradient", LIME], texts=["Not a bad film, only a long one."], trust="full"
    ).answers
    for answer in answers:
        assert answer.trust["examined"]["n_steps"] == len(answer.values)
        assert answer.trust["figures"]["max_sensitivity"] is None
        assert "int64" in answer.trust["examined"]["not_measured"]["max_sensitivity"]


def test_full_and_basic_are_two_questions_and_the_record_repeats_the_call(client):
    rows = {"tensors": fresh()}
    basic = client.explain("digits-lenet", ["gradient"], **rows).of("gradient")
    full = client.explain("digits-lenet", ["gradient"], **rows, trust="full").of("gradient")
    assert (basic.cache, full.cache) == ("miss", "miss")
    assert basic.cache_key != full.cache_key
    np.testing.assert_allclose(full.values, basic.values, rtol=1e-6, atol=1e-7)
    assert not any(figure in basic.trust["figures"] for figure in FIGURES)
    again = [{"gradient": full.trust["options"]}]
    asked = {**rows, "trust": full.trust["trust"]}
    assert client.explain("digits-lenet", again, **asked).of("gradient").cache == "hit"
    anew = client.explain("digits-lenet", again, **asked, cache="refresh").of("gradient")
    assert anew.trust["figures"] == full.trust["figures"]


def test_the_estimate_counts_the_examination(client):
    rows = {"tensors": fresh()}
    basic = client.estimate("digits-lenet", ["gradient"], **rows)
    full = client.estimate("digits-lenet", ["gradient"], **rows, trust="full")
    explained = client.explain("digits-lenet", ["gradient"], **rows, trust="full")
    n_evaluations = explained.of("gradient").trust["n_evaluations"]
    assert basic.model_calls == 1
    assert n_evaluations == 1 + 2 * 29 + N_REMOVALS + 1 + N_NOISY + 2
    assert full.model_calls == n_evaluations + 1, "and one prediction, as for any long method"


def test_a_budget_leaves_the_map_with_the_figures_that_were_done(client):
    reports = []
    answer = client.explain(
        "photos",
        [{"occlusion": {"window": 4, "stride": 2}}],
        tensors={"image": np.random.default_rng().normal(size=(1, 3, 64, 64)).astype(np.float32)},
        trust="full",
        budget_ms=1,
        on_progress=reports.append,
    ).of("occlusion")
    assert not answer.complete
    assert answer.trust["complete"] is False
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)


def test_the_open_protocol_asks_by_parameter(oip):
    request = infer_request(
        "digits-lenet",
        parameters={"candor.explain": "gradient,grad_cam", "candor.trust": "full"},
        **fresh(2),
    )
    arrays, response = oip.infer(request)
    assert arrays["candor.gradient"].shape == (2, 28, 28)
    for method in ("gradient", "grad_cam"):
        records = json.loads(response.parameters[f"candor.{method}.trust"].string_param)
        assert [record["trust"] for record in records] == ["full", "full"]
        assert all(record["figures"]["deletion_auc"] is not None for record in records)


def test_kserve_rest_asks_by_parameter(web):
    body = {
        "instances": fresh()["image"].tolist(),
        "parameters": {"candor.explain": "gradient", "candor.trust": "full"},
    }
    (row,) = web.post("/v1/models/digits-lenet:explain", json=body).json()["explanations"]
    assert row["gradient"]["trust"]["figures"]["insertion_auc"] is not None


@pytest.mark.parametrize("value", ["fullest", "all", "", "2"])
def test_another_word_is_refused(client, web, value):
    with pytest.raises(errors.InvalidOption, match="not one of basic, full"):
        client.explain("digits-lenet", ["gradient"], tensors=fresh(), trust=value)
    parameters = {"candor.explain": "gradient", "candor.trust": value}
    body = {"instances": fresh()["image"].tolist(), "parameters": parameters}
    answer = web.post("/v1/models/digits-lenet:explain", json=body)
    assert answer.status_code == 400
    assert f"candor.trust is '{value}'; expected one of basic, full" in answer.json()["error"]


def test_a_number_that_is_no_level_is_refused(client, server):
    request = pb.ExplainRequest(model="digits-lenet", trust=7)
    request.methods.add().gradient.SetInParent()
    request.input.texts.texts.append("x")
    with grpc.insecure_channel(server.grpc_target) as channel:
        call = channel.unary_unary("/candor.v1.ExplanationService/Explain")
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString())
    assert "trust is 7; expected 1 (basic) or 2 (full)" in caught.value.details()


def test_the_fidelity_of_any_method_is_counted_where_it_was_measured(client, server):
    def count():
        line = 'candor_explanation_fidelity_count{method="hires_cam",model="digits-lenet"}'
        found = [t for t in get(f"{server.metrics_url}/metrics").text.splitlines() if line in t]
        return float(found[0].split()[-1]) if found else 0.0

    before = count()
    client.explain("digits-lenet", ["hires_cam"], tensors=fresh())
    assert count() == before
    answer = client.explain("digits-lenet", ["hires_cam"], tensors=fresh(), trust="full")
    figures = answer.of("hires_cam").trust["figures"]
    measured = figures["faithfulness_correlation"] is not None
    assert count() == before + measured
