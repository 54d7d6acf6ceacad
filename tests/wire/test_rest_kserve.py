"""KServe's first protocol: rows in, rows out."""

import base64

import numpy as np
import pytest

from wire.protocol import infer_request


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def test_models_are_listed_and_say_whether_they_are_ready(web):
    assert "photos" in web.get("/v1/models").json()["models"]
    assert web.get("/v1/models/photos").json() == {"name": "photos", "ready": True}
    assert web.get("/v1/models/fotos").status_code == 404


def test_rows_of_numbers_are_predicted_as_over_grpc(web, oip, pixels):
    found = web.post("/v1/models/photos:predict", json={"instances": pixels.tolist()}).json()
    logits = oip.infer(infer_request("photos", image=pixels))[0]["logits"]
    assert list(found) == ["predictions"]
    np.testing.assert_array_equal(np.array(found["predictions"], np.float32), logits)


def test_several_inputs_are_objects_by_name(web, oip):
    metadata = web.get("/v2/models/adult-mlp").json()["inputs"]
    values = {spec["name"]: [[0.5] * abs(spec["shape"][-1])] * 2 for spec in metadata}
    rows = [{name: column[row] for name, column in values.items()} for row in range(2)]
    if any(spec["datatype"] not in ("FP32", "FP64") for spec in metadata):
        rows = [{n: np.zeros(np.shape(v)).astype(int).tolist() for n, v in r.items()} for r in rows]
    found = web.post("/v1/models/adult-mlp:predict", json={"instances": rows})
    assert found.status_code == 200, found.text
    assert len(found.json()["predictions"]) == 2


def test_pictures_and_texts_are_prepared_in_the_server(web, cat, client):
    found = web.post("/v1/models/photos:predict", json={"instances": [b64(cat)] * 2}).json()
    typed = client.predict("photos", images=[cat])
    np.testing.assert_allclose(found["predictions"], [typed.scores[0]] * 2, rtol=1e-4, atol=1e-4)
    texts = ["A wonderful, warm film.", "dull and far too long"]
    found = web.post("/v1/models/sentences:predict", json={"instances": texts}).json()
    expected = client.predict("sentences", texts=texts).scores
    np.testing.assert_allclose(found["predictions"], expected, rtol=1e-4, atol=1e-4)


def test_explain_answers_by_row_and_method(web, client):
    texts = ["A wonderful, warm film.", "dull and far too long"]
    parameters = {"candor.explain": "gradient,lime", "candor.lime.n_samples": 60}
    asked = {"instances": texts, "parameters": parameters}
    found = web.post("/v1/models/sentences:explain", json=asked).json()
    assert [set(row) for row in found["explanations"]] == [{"gradient", "lime"}] * 2
    assert set(found["explanations"][0]["lime"]) == {"values", "segments", "trust"}
    typed = client.explain("sentences", ["gradient"], texts=texts)
    for row in range(2):
        values = found["explanations"][row]["gradient"]["values"]
        expected = typed.of("gradient", row=row).values
        np.testing.assert_allclose(values[: len(expected)], expected, rtol=1e-4)
        assert found["explanations"][row]["lime"]["trust"]["figures"]["n_samples"] == 60
    assert found["complete"] is True
    assert len(found["model_digest"]) == 64
    assert len(found["predictions"]) == 2


@pytest.mark.parametrize(("model", "method"), [("photos", "grad_cam"), ("sentences", "grad_cam")])
def test_explain_without_a_method_takes_one_that_explains_the_model(web, cat, model, method):
    row = b64(cat) if model == "photos" else "Not a bad film."
    found = web.post(f"/v1/models/{model}:explain", json={"instances": [row]}).json()
    assert list(found["explanations"][0]) == [method]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "instances is missing"),
        ({"instances": 3}, "instances is 3; expected a list"),
        ({"instances": ["x", 1]}, "mixes"),
        ({"instances": [{"b64": "?"}]}, "not base64"),
        ({"instances": [{"b64": 7}]}, "mixes"),
        ({"instances": [{"image": "x"}, {"picture": "x"}]}, "instances[1] has not the inputs"),
        ({"instances": [[1, 2], [3]]}, "not a tensor"),
        ({"instances": [[1, 2]]}, "image"),
        ({"instances": [], "parameters": {"candor.explain": "shap"}}, "'shap'"),
        ({"instances": [], "parameters": 3}, "parameters is 3; expected an object"),
    ],
    ids=lambda value: repr(value)[-70:],
)
def test_what_is_wrong_is_said(web, asked, says):
    answer = web.post("/v1/models/photos:explain", json=asked)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]


def test_an_unknown_model_is_not_found(web):
    answer = web.post("/v1/models/fotos:predict", json={"instances": [1]})
    assert answer.status_code == 404
    assert "'fotos'" in answer.json()["error"]
