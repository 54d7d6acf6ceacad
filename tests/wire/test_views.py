"""What the server made of a row comes back over every protocol: boxes, tokens and their offsets."""

import io
import json

from PIL import Image

from packaged import records
from wire.protocol import infer_request, text

SENTENCE = "Größe! 👍 zzyzx isn't a film."


def views_of(response):
    return json.loads(response.parameters["candor.views"].string_param)


def test_words_and_their_offsets_in_characters_come_back(oip):
    parameters = {"candor.explain": "gradient,lime", "candor.lime.n_samples": 50}
    request = infer_request("sentences", parameters=parameters, tokens=text(SENTENCE, "Dull."))
    outputs, response = oip.infer(request)
    first, second = views_of(response)
    words = [SENTENCE[start:end] for start, end in first["offsets"]]
    assert [word.lower() for word in words] == first["tokens"]
    assert first["tokens"][-3:] == ["a", "film", "."]
    known = dict(zip(first["tokens"], first["known"], strict=True))
    assert known["film"]
    assert not known["zzyzx"]
    assert outputs["candor.lime"].shape == outputs["candor.gradient"].shape == (2, len(words))
    assert second["tokens"] == ["dull", "."]


def test_the_box_that_the_model_saw_of_a_picture_comes_back(oip, cat, client):
    request = infer_request("photos", parameters={"candor.explain": "grad_cam"}, image=text(cat))
    _, response = oip.infer(request)
    (view,) = views_of(response)
    assert [view["width"], view["height"]] == list(Image.open(io.BytesIO(cat)).size)
    assert view["box"] == list(client.predict("photos", images=[cat]).rows[0].view.box)


def test_of_tensors_and_plain_predictions_there_is_no_view(oip, cat):
    rows = records().inputs
    request = infer_request("adult-mlp", parameters={"candor.explain": "gradient"}, record=rows)
    assert "candor.views" not in oip.infer(request)[1].parameters
    assert not oip.infer(infer_request("photos", image=text(cat)))[1].parameters


def test_words_come_back_over_http_too(web):
    asked = {"instances": [SENTENCE], "parameters": {"candor.explain": "gradient"}}
    found = web.post("/v1/models/sentences:explain", json=asked).json()
    (view,) = found["views"]
    values = found["explanations"][0]["gradient"]["values"]
    assert len(view["tokens"]) == len(view["offsets"]) == len(values)
    tensor = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": [SENTENCE]}
    asked = {"inputs": [tensor], "parameters": {"candor.explain": "gradient"}}
    answer = web.post("/v2/models/sentences/infer", json=asked).json()
    assert json.loads(answer["parameters"]["candor.views"]) == [view]
