"""Our client against the running service: candor.v1 from end to end."""

import io
import threading

import grpc
import numpy as np
import pytest
from PIL import Image

from candor import errors
from candor.client import AsyncClient, Client
from candor.client.pictures import png
from candor.explain.options import METHODS
from candor.result import ImageView, Target, TextView
from candor.v1 import explanation_pb2 as pb
from wire.protocol import counted, inflight, until

SENTENCE = "A wonderful, warm film."


def lime(n_samples):
    """LIME over a grid: noise has no superpixels."""
    return {"lime": {"n_samples": n_samples, "segments": "grid"}}


def fresh(n=1):
    """Rows that no cache can know."""
    return {"image": np.random.default_rng().normal(size=(n, 3, 64, 64)).astype(np.float32)}


def test_models_are_listed_with_the_methods_that_explain_them(client):
    models = {model.id.name: model for model in client.models()}
    assert models["photos"].state == "ready"
    assert models["photos"].kind == "image"
    assert set(models["photos"].methods) == set(METHODS)
    assert "cam" not in models["sentences"].methods


def test_a_model_is_described_with_a_reason_for_each_method_that_it_lacks(client):
    photos, sentences = client.model("photos"), client.model("sentences")
    assert photos.inputs == (("image", "FP32", (-1, 3, 64, 64)),)
    assert photos.activation == "softmax"
    assert photos.preprocessing
    assert len(photos.labels) == 50
    assert photos.default_layer in photos.layers
    assert photos.methods["cam"] is None
    assert sentences.methods["cam"]
    assert sentences.kind == "tokens"
    assert len(photos.id.digest) >= 32


def test_prediction_of_a_picture_says_what_was_seen_and_what_it_is(client, cat):
    prediction = client.predict("photos", images=[cat])
    (row,) = prediction.rows
    assert prediction.scores.shape == prediction.probabilities.shape == (1, 50)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-4)
    best = int(prediction.probabilities[0].argmax())
    assert row.top[0].index == best
    assert row.top[0].label == client.model("photos").labels[best]
    ranked = [ranked.probability for ranked in row.top]
    assert len(ranked) == 5
    assert ranked == sorted(ranked, reverse=True)
    assert isinstance(row.view, ImageView)
    assert (row.view.width, row.view.height) == Image.open(io.BytesIO(cat)).size
    assert not prediction.outputs


def test_pixels_paths_and_files_give_the_same_prediction(client, cat, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(cat)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    by_kind = client.predict("photos", images=[cat, path, str(path), pixels])
    assert len(by_kind.rows) == 4
    for row in range(1, 4):
        np.testing.assert_allclose(by_kind.scores[row], by_kind.scores[0], atol=1e-4)


def test_outputs_of_the_graph_come_when_asked_for(client):
    rows = fresh(2)
    prediction = client.predict("photos", tensors=rows, outputs=["logits"])
    np.testing.assert_array_equal(prediction.outputs["logits"], prediction.scores)


def test_every_method_explains_and_answers_come_in_the_order_asked(client):
    methods = ["gradient", lime(30), "cam"]
    found = client.explain(
        "photos", methods, tensors=fresh(2), targets=[[3, (7, 3)], 5], cache="bypass"
    )
    places = [(answer.method, answer.row, answer.position) for answer in found.answers]
    expected = [(0, 0), (0, 1), (1, 0)]
    assert places == [(name, *at) for name in ("gradient", "lime", "cam") for at in expected]
    assert found.of("gradient").target == Target(3)
    assert found.of("gradient", 0, 1).target == Target(7, 3)
    assert found.of("lime", 1).target == Target(5)
    assert found.of("lime").segments.dtype == np.int32
    assert all(answer.values.shape == (64, 64) for answer in found.answers)
    assert {answer.cache for answer in found.answers} == {"bypass"}
    assert all(answer.complete for answer in found.answers)
    assert found.of("lime").trust["options"]["n_samples"] == 30
    assert found.timings_s["total"] > 0


def test_a_second_time_the_answer_is_known_and_the_same(client):
    rows = fresh()
    first = client.explain("photos", "grad_cam", tensors=rows).of("grad_cam")
    again = client.explain("photos", "grad_cam", tensors=rows).of("grad_cam")
    assert (first.cache, again.cache) == ("miss", "hit")
    assert first.cache_key == again.cache_key != ""
    np.testing.assert_array_equal(first.values, again.values)
    assert first.trust == again.trust


def test_text_is_explained_per_token_with_its_place_in_the_text(client):
    found = client.explain("sentences", "gradient", texts=SENTENCE)
    view = found.prediction.rows[0].view
    assert isinstance(view, TextView)
    assert found.of("gradient").values.shape == (len(view.tokens),)
    for token, (start, end) in zip(view.tokens, view.offsets, strict=True):
        assert SENTENCE[start:end].lower() == token


def test_labels_are_targets(client):
    label = client.model("sentences").labels[0]
    found = client.explain("sentences", "gradient", texts=[SENTENCE], targets=label)
    assert found.of("gradient").target == Target(0)


def test_own_segments_are_what_lime_weighs(client):
    segments = np.zeros((1, 64, 64), dtype=np.int64)
    segments[0, 32:] = 1
    found = client.explain(
        "photos", [{"lime": {"n_samples": 20}}], tensors=fresh(), segments=segments
    )
    assert len(np.unique(found.of("lime").values)) == 2


def test_an_overlay_is_a_picture_that_holds_the_one_that_was_sent(client, cat):
    found = client.explain("photos", ["cam", "gradient"], images=[cat], render=0.4)
    width, height = Image.open(io.BytesIO(cat)).size
    for answer in found.answers:
        picture = Image.open(io.BytesIO(answer.overlay_png))
        assert picture.format == "PNG"
        assert picture.width == width
        assert picture.height > height
    plain = client.explain("photos", "cam", images=[cat])
    assert plain.of("cam").overlay_png == b""


def test_progress_rises_to_the_whole_and_brings_partial_answers(client):
    reports = []
    found = client.explain(
        "photos",
        [lime(300), "gradient"],
        tensors=fresh(),
        on_progress=reports.append,
    )
    limes = [report for report in reports if report.method == "lime"]
    fractions = [report.fraction for report in limes]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert len(fractions) >= 2
    partial = [report.partial for report in limes if report.partial is not None]
    assert partial
    assert partial[-1].values.shape == (64, 64)
    assert found.of("lime").complete
    assert found.of("gradient").values.shape == (64, 64)


def test_a_budget_ends_a_long_explanation_with_its_best(client):
    found = client.explain(
        "photos",
        [lime(20_000)],
        tensors=fresh(),
        budget_ms=150,
    )
    answer = found.of("lime")
    assert not answer.complete
    assert answer.trust["n_evaluations"] < 20_000
    assert not answer.trust["complete"]


def test_an_estimate_counts_what_would_run(client):
    rows = fresh()
    estimate = client.estimate("photos", [lime(100)], tensors=rows)
    assert 100 <= estimate.model_calls <= 102
    assert estimate.milliseconds > 0
    assert estimate.bytes >= 64 * 64 * 4


@pytest.mark.parametrize(
    ("model", "methods", "asking", "kind", "says"),
    [
        ("fotos", "cam", {}, errors.NotFound, "fotos"),
        ("photos", "shap", {}, errors.InvalidOption, "shap"),
        ("photos", [{"lime": {"n_samples": 0}}], {}, errors.InvalidOption, "n_samples is 0"),
        ("photos", "cam", {"targets": 50}, errors.InvalidTarget, "50"),
        ("photos", "cam", {"targets": "catt"}, errors.InvalidTarget, "catt"),
        ("photos", "cam", {"targets": [1, 2]}, errors.InvalidTarget, "2 rows"),
        ("photos", [{"cam": {"layer": "x"}}], {}, errors.NotFound, "'x'"),
        ("photos", "cam", {"budget_ms": -1}, errors.InvalidOption, "budget_ms"),
        ("photos", "cam", {"cache": "maybe"}, errors.InvalidOption, "use, refresh, bypass"),
        ("photos", "cam", {"output": "nope"}, errors.CandorError, "nope"),
        ("photos", "cam", {"outputs": ["nope"]}, errors.InvalidArgument, "nope"),
        ("photos", "cam", {"render": True}, errors.InvalidOption, "input.images"),
        ("photos", "cam", {"colour": 1}, errors.InvalidArgument, "no argument 'colour'"),
        ("sentences", "cam", {}, errors.CandorError, ""),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused_with_its_own_error(
    client, model, methods, asking, kind, says
):
    with pytest.raises(kind) as caught:
        client.explain(model, methods, tensors=fresh(), **asking)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({}, "nothing is given"),
        ({"images": [], "texts": []}, "images and texts"),
        ({"images": [np.zeros((2, 2))]}, "no picture"),
        ({"images": [np.zeros((0, 2), np.uint8)]}, "empty"),
        ({"images": [b"not a picture"]}, "row 0"),
        ({"texts": ["words"]}, "texts"),
        ({"tensors": {}}, "'image' is missing"),
        ({"tensors": {"image": np.zeros((1, 3, 64, 64))}}, "FP64"),
    ],
    ids=str,
)
def test_rows_that_the_model_cannot_take_are_refused(client, rows, says):
    with pytest.raises(errors.InvalidInput) as caught:
        client.predict("photos", **rows)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("model", "code"),
    [("", grpc.StatusCode.NOT_FOUND), ("photos", grpc.StatusCode.INVALID_ARGUMENT)],
)
def test_an_empty_request_is_refused(oip, model, code):
    request = pb.PredictRequest(model=model)
    with pytest.raises(grpc.RpcError) as caught:
        oip.raw("/candor.v1.ExplanationService/Predict", request.SerializeToString())
    assert caught.value.code() is code


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.ClearField("methods"), "methods is empty"),
        (lambda r: r.methods.add(), "a method is empty"),
        (lambda r: r.__setattr__("explained", 9), "explained is 9"),
        (lambda r: r.__setattr__("cache", 9), "cache is 9"),
        (lambda r: r.__setattr__("budget_ms", float("nan")), "budget_ms is nan"),
        (lambda r: r.segments.__setattr__("data_type", 12), "segments are float32"),
        (lambda r: r.targets.add().targets.add().difference.SetInParent(), "names no class"),
        (lambda r: r.render.__setattr__("opacity", 3), "input.images"),
    ],
    ids=["no method", "empty", "explained", "cache", "budget", "segments", "difference", "render"],
)
def test_a_field_without_sense_is_refused(oip, change, says):
    request = pb.ExplainRequest(model="photos")
    request.methods.add().cam.SetInParent()
    request.input.tensors.SetInParent()
    if says.startswith("segments"):
        request.segments.shape.append(0)
    change(request)
    with pytest.raises(grpc.RpcError) as caught:
        oip.raw("/candor.v1.ExplanationService/Explain", request.SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()


def test_a_deadline_ends_the_call(client):
    with pytest.raises(errors.DeadlineExceeded):
        client.explain(
            "photos",
            [lime(50_000)],
            tensors=fresh(),
            timeout_s=0.2,
        )


def test_leaving_a_stream_stops_the_work_on_the_server(server, client):
    class EnoughError(Exception):
        """Raised by a caller who has seen what it wanted."""

    def leave(report):
        raise EnoughError(report.method)

    until(lambda: not inflight(server))  # what others have left
    ran = counted(server, "candor_model_calls_total", 'program="perturb"')
    with pytest.raises(EnoughError):
        client.explain(
            "photos",
            [lime(50_000)],
            tensors=fresh(),
            on_progress=leave,
        )
    until(lambda: not inflight(server))
    assert counted(server, "candor_model_calls_total", 'program="perturb"') - ran < 45_000


def test_a_request_id_comes_back_with_the_answer_and_with_the_error(oip):
    payload = pb.PredictRequest(model="fotos").SerializeToString()
    call = oip.channel.unary_unary("/candor.v1.ExplanationService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(payload, metadata=(("x-request-id", "mine-1"),))
    trailers = dict(caught.value.trailing_metadata())
    assert trailers["x-request-id"] == "mine-1"
    assert trailers["candor-error"] == "NotFound"
    _, answered = oip.channel.unary_unary("/candor.v1.ModelService/ListModels").with_call(
        b"", metadata=(("x-request-id", "bad id with spaces"),)
    )
    assert len(dict(answered.trailing_metadata())["x-request-id"]) == 16


def test_one_client_serves_many_threads(client):
    rows = fresh()
    scores = [None] * 8

    def ask(index):
        scores[index] = client.predict("photos", tensors=rows).scores

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in scores:
        np.testing.assert_allclose(found, scores[0], atol=1e-5)


async def test_the_asynchronous_client_answers_the_same(server, client):
    rows = fresh()
    reports = []
    async with AsyncClient(server.grpc_target) as other:
        assert await other.models() == client.models()
        assert await other.model("photos") == client.model("photos")
        found = await other.explain("photos", "gradient", tensors=rows)
        watched = await other.explain(
            "photos",
            [lime(50)],
            tensors=rows,
            on_progress=reports.append,
        )
        estimate = await other.estimate("photos", "gradient", tensors=rows)
        prediction = await other.predict("photos", tensors=rows)
        with pytest.raises(errors.NotFound):
            await other.model("fotos")
    np.testing.assert_array_equal(
        found.of("gradient").values,
        client.explain("photos", "gradient", tensors=rows).of("gradient").values,
    )
    assert watched.of("lime").values.shape == (64, 64)
    assert reports
    assert estimate.model_calls > 0
    assert prediction.scores.shape == (1, 50)


def test_nobody_at_the_address_is_unavailable():
    with Client("127.0.0.1:1") as nobody:
        with pytest.raises(errors.Unavailable):
            nobody.models(timeout_s=60)
        with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1"):
            nobody.wait_ready(0.2)


def test_waiting_for_a_server_that_is_ready_returns(client):
    client.wait_ready(60)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 2), (5, 4, 3), (5, 4, 4)])
def test_pixels_are_encoded_without_loss(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(png(pixels))))
    np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))
