"""ModelInfer against the running service: plain inference, and explanations inside it."""

import json

import grpc
import numpy as np
import pytest

from candor.inference.v2 import grpc_service_pb2 as pb
from wire.protocol import infer_request, text

SENTENCES = text("A wonderful, warm film.", "dull and far too long")


@pytest.fixture(scope="module")
def logits(oip, pixels):
    """What the model says of the two rows."""
    return oip.infer(infer_request("photos", image=pixels))[0]["logits"]


def explain(oip, request_or_parameters, pixels, outputs=(), **inputs):
    parameters = {"candor.cache": "bypass"} | request_or_parameters
    return oip.infer(
        infer_request("photos", outputs=outputs, parameters=parameters, image=pixels, **inputs)
    )


def refusal(oip, request):
    with pytest.raises(grpc.RpcError) as caught:
        oip.infer(request)
    return caught.value


def trust(response, method):
    return json.loads(response.parameters[f"candor.{method}.trust"].string_param)


def test_plain_request_echoes_id_and_resolves_the_version_and_says_nothing_of_candor(oip, pixels):
    request = infer_request("photos", image=pixels)
    request.id = "row-7"
    _, response = oip.infer(request)
    assert (response.id, response.model_name, response.model_version) == ("row-7", "photos", "1")
    assert [output.name for output in response.outputs] == ["logits"]
    assert not response.parameters


def test_typed_contents_give_the_same_answer_as_raw_ones(oip, pixels, logits):
    request = infer_request("photos", image=pixels)
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend(pixels.reshape(-1).tolist())
    assert oip.infer(request)[0]["logits"].tobytes() == logits.tobytes()


def test_an_explanation_comes_as_output_beside_the_models_own(oip, pixels, logits):
    found, response = explain(oip, {"candor.explain": "grad_cam,gradient"}, pixels)
    assert list(found) == ["logits", "candor.grad_cam", "candor.gradient"]
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-4)
    for method in ("grad_cam", "gradient"):
        values = found[f"candor.{method}"]
        assert (values.dtype, values.shape) == (np.float32, (2, 64, 64))
        records = trust(response, method)
        assert [record["target"]["plus"] for record in records] == logits.argmax(axis=1).tolist()
        assert [record["method"] for record in records] == [method, method]
    assert response.parameters["candor.cache_status"].string_param == "bypass"
    assert response.parameters["candor.complete"].bool_param
    assert len(response.parameters["candor.model_digest"].string_param) >= 32


def test_naming_an_output_asks_for_it_and_only_named_outputs_come_back(oip, pixels):
    by_name, response = explain(oip, {}, pixels, outputs=["candor.gradient"])
    by_parameter, _ = explain(oip, {"candor.explain": "gradient"}, pixels)
    assert list(by_name) == ["candor.gradient"]
    np.testing.assert_array_equal(by_name["candor.gradient"], by_parameter["candor.gradient"])
    assert len(trust(response, "gradient")) == 2


def test_options_change_the_answer_and_stand_resolved_in_the_trust_record(oip, pixels):
    signed, response = explain(
        oip,
        {"candor.explain": "gradient", "candor.gradient.reduction": "signed", "candor.target": 3},
        pixels,
    )
    assert signed["candor.gradient"].min() < 0
    record = trust(response, "gradient")[0]
    assert record["options"]["reduction"] == "signed"
    assert record["target"] == {"plus": 3, "minus": None, "top": False}


def test_channels_keep_gives_the_shape_of_the_input(oip, pixels):
    found, _ = explain(
        oip,
        {
            "candor.explain": "gradient",
            "candor.gradient.channels": "keep",
            "candor.gradient.reduction": "signed",
        },
        pixels,
        outputs=["candor.gradient"],
    )
    assert found["candor.gradient"].shape == pixels.shape


def test_a_target_tensor_gives_each_row_its_own(oip, pixels):
    found, response = explain(
        oip, {"candor.explain": "gradient"}, pixels, candor__target=np.array([4, 9])
    )
    assert [record["target"]["plus"] for record in trust(response, "gradient")] == [4, 9]
    one, _ = explain(oip, {"candor.explain": "gradient", "candor.target": 9}, pixels)
    np.testing.assert_allclose(
        found["candor.gradient"][1], one["candor.gradient"][1], rtol=1e-4, atol=1e-7
    )


def test_several_targets_give_an_axis_after_the_rows(oip, pixels):
    several, response = explain(
        oip, {"candor.explain": "gradient", "candor.targets": "4,9-4"}, pixels
    )
    assert several["candor.gradient"].shape == (2, 2, 64, 64)
    records = trust(response, "gradient")
    assert [[record["target"]["plus"] for record in row] for row in records] == [[4, 9]] * 2
    assert [[record["target"]["minus"] for record in row] for row in records] == [[None, 4]] * 2
    by_tensor, _ = explain(
        oip, {"candor.explain": "gradient"}, pixels, candor__target=np.array([[4], [9]])
    )
    assert by_tensor["candor.gradient"].shape == (2, 1, 64, 64)
    np.testing.assert_allclose(
        by_tensor["candor.gradient"][0, 0], several["candor.gradient"][0, 0], rtol=1e-4, atol=1e-7
    )


def test_lime_answers_its_segments_and_takes_the_callers(oip, pixels):
    halves = np.zeros((2, 64, 64), dtype=np.int32)
    halves[:, :, 32:] = 1
    found, _ = explain(
        oip,
        {"candor.explain": "lime", "candor.lime.n_samples": 30},
        pixels,
        candor__lime__segments=halves,
    )
    segments = found["candor.lime.segments"]
    assert (segments.dtype, segments.shape) == (np.int32, (2, 64, 64))
    for row in range(2):
        assert len(np.unique(segments[row])) == 2
        assert len(np.unique(found["candor.lime"][row, :, :32])) == 1
        assert len(np.unique(found["candor.lime"][row])) == 2


def test_encoded_pictures_travel_as_bytes_where_the_manifest_prepares_them(oip, cat, client):
    request = infer_request(
        "photos",
        image=text(cat),
        outputs=["logits", "candor.cam"],
        parameters={"candor.cache": "bypass"},
    )
    found, _ = oip.infer(request)
    assert found["candor.cam"].shape == (1, 64, 64)
    typed = client.predict("photos", images=[cat])
    np.testing.assert_allclose(found["logits"], typed.scores, rtol=1e-4, atol=1e-4)


def test_texts_travel_as_bytes_and_shorter_rows_are_filled_up(oip, client):
    request = infer_request(
        "sentences", tokens=SENTENCES.reshape(2, 1), parameters={"candor.explain": "gradient"}
    )
    name = client.model("sentences").inputs[0][0]
    request.inputs[0].name = name
    found, _ = oip.infer(request)
    assert found["candor.gradient"].shape == (2, 6)
    assert (found["candor.gradient"][0] > 0).all()
    assert found["candor.gradient"][1, 5] == 0


def test_classification_gives_the_best_classes_as_text(oip, pixels, logits, client):
    request = infer_request("photos", image=pixels, outputs=["logits"])
    request.outputs[0].parameters["classification"].int64_param = 2
    found, _ = oip.infer(request)
    assert found["logits"].shape == (2, 2)
    value, index, label = found["logits"][0, 0].decode().split(":")
    best = int(logits[0].argmax())
    assert int(index) == best
    assert float(value) == pytest.approx(logits[0, best], abs=1e-5)
    assert label == client.model("photos").labels[best]


def test_the_cache_says_miss_then_hit_then_partial(oip):
    fresh = np.random.default_rng().normal(size=(2, 3, 64, 64)).astype(np.float32)
    statuses = []
    for rows, methods in ((fresh[:1], "gradient"), (fresh[:1], "gradient"), (fresh, "gradient")):
        request = infer_request("photos", image=rows, parameters={"candor.explain": methods})
        _, response = oip.infer(request)
        statuses.append(response.parameters["candor.cache_status"].string_param)
    assert statuses == ["miss", "hit", "partial"]


def test_the_trust_record_repeats_the_call_word_for_word(oip, pixels):
    first, response = explain(
        oip, {"candor.explain": "lime", "candor.lime.n_samples": 40, "candor.seed": 11}, pixels[:1]
    )
    options = trust(response, "lime")[0]["options"]
    assert options["seed"] == 11
    again, _ = explain(
        oip,
        {"candor.explain": "lime"} | {f"candor.lime.{name}": v for name, v in options.items()},
        pixels[:1],
    )
    np.testing.assert_array_equal(first["candor.lime"], again["candor.lime"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.raw_input_contents.__setitem__(0, b"\0" * 12), "has 12 bytes"),
        (lambda r: r.inputs[0].__setattr__("datatype", "FP64"), "takes 98304"),
        (lambda r: r.inputs[0].__setattr__("datatype", "FP12"), "datatype 'FP12'"),
        (lambda r: r.inputs[0].shape.__setitem__(0, -1), "an axis is between"),
        (lambda r: r.inputs[0].__setattr__("name", "picture"), "no input 'picture'"),
        (lambda r: r.inputs[0].contents.fp32_contents.append(1), "must not be specified"),
        (lambda r: r.outputs.add(name="probs"), "no output 'probs'"),
        (lambda r: r.outputs.add(name="candor.shap"), "unknown method 'shap'"),
        (lambda r: r.parameters["candor.explain"].__setattr__("string_param", "shap"), "'shap'"),
        (lambda r: r.parameters["candor.color"].__setattr__("string_param", "red"), "candor.color"),
        (lambda r: r.parameters["timeout"].__setattr__("int64_param", -5), "timeout is -5"),
        (lambda r: r.ClearField("inputs"), "1 entries for 0 inputs"),
    ],
    ids=[
        "bytes",
        "other datatype",
        "unknown datatype",
        "negative axis",
        "unknown input",
        "both contents",
        "unknown output",
        "unknown explanation output",
        "unknown method",
        "unknown parameter",
        "timeout",
        "no inputs",
    ],
)
def test_a_malformed_request_is_refused_and_says_why(oip, pixels, change, says):
    request = infer_request("photos", image=pixels[:1])
    change(request)
    error = refusal(oip, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in error.details()


@pytest.mark.parametrize(
    ("inputs", "parameters", "says"),
    [
        ({"candor__target": np.array([1])}, {}, "no explanation is asked for"),
        ({"candor__target": np.array([1.5])}, {"candor.explain": "cam"}, "expected INT64 [n]"),
        ({"candor__target": np.array([1, 2, 3])}, {"candor.explain": "cam"}, "3 rows"),
        ({"candor__target": np.array([50])}, {"candor.explain": "cam"}, "class 50 does not exist"),
        (
            {"candor__target": np.array([1])},
            {"candor.explain": "cam", "candor.target": 1},
            "as parameter and as input",
        ),
        ({"candor__mask": np.array([1])}, {"candor.explain": "cam"}, "no input 'candor.mask'"),
        (
            {"candor__lime__segments": np.zeros((1, 64, 64), np.int32)},
            {"candor.explain": "cam"},
            "lime is not asked for",
        ),
        ({}, {"candor.explain": "cam", "candor.target": "zebra crossing"}, "zebra crossing"),
        ({}, {"candor.explain": "grad_cam", "candor.layer": "nowhere"}, "nowhere"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_question_is_refused(oip, pixels, inputs, parameters, says):
    error = refusal(oip, infer_request("photos", image=pixels[:1], parameters=parameters, **inputs))
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert says in error.details()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_is_predicted_on_but_not_explained(oip, pixels, value):
    odd = pixels[:1].copy()
    odd[0, 0, 0, 0] = value
    assert "logits" in oip.infer(infer_request("photos", image=odd))[0]
    error = refusal(oip, infer_request("photos", image=odd, parameters={"candor.explain": "cam"}))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_empty_batch_is_predicted_on_but_not_explained(oip, pixels):
    none = pixels[:0]
    assert oip.infer(infer_request("photos", image=none))[0]["logits"].shape == (0, 50)
    error = refusal(oip, infer_request("photos", image=none, parameters={"candor.explain": "cam"}))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_model_is_not_found(oip, pixels):
    error = refusal(oip, infer_request("fotos", image=pixels))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "'fotos'" in error.details()
    assert "photos" in error.details()


def test_a_timeout_parameter_is_a_deadline_too(oip, pixels):
    request = infer_request(
        "photos", image=pixels, parameters={"candor.explain": "lime", "timeout": 1000}
    )
    assert refusal(oip, request).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_shared_memory_is_refused_for_outputs_too(oip, pixels):
    request = infer_request("photos", image=pixels, outputs=["logits"])
    request.outputs[0].parameters["shared_memory_region"].string_param = "r"
    assert "shared memory" in refusal(oip, request).details()


def test_bytes_that_are_no_message_are_the_callers_mistake(oip):
    with pytest.raises(grpc.RpcError) as caught:
        oip.raw("/inference.GRPCInferenceService/ModelInfer", b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in caught.value.details()


def test_a_message_over_the_limit_is_refused_and_the_server_lives(oip):
    huge = pb.ModelInferRequest(model_name="photos", raw_input_contents=[bytes(65 * 2**20)])
    assert refusal(oip, huge).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert oip.call("ServerLive").live
