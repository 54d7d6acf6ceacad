"""The engine's results on the wire, without a server."""

import json

import numpy as np
import pytest

from candor.engine.request import Answer, ExplainRequest, Explanation, Prediction
from candor.explain.options import Cam
from candor.result import Attribution, ModelId, Scores, Tensors
from candor.wire import oip_responses, responses
from candor.wire.captions import caption
from candor.wire.oip_requests import Asked
from wire.protocol import arrays


def answer(values, cache="miss", segments=None, plus=1, minus=None):
    values = np.asarray(values, np.float32)
    trust = {
        "method": "lime",
        "target": {"plus": plus, "minus": minus, "top": minus is None},
        "probability": 0.973,
        "figures": {"r2": None},
    }
    segments = None if segments is None else np.asarray(segments, np.int32)
    return Answer(Attribution("lime", values, trust, segments), cache, "ab" * 16)


def explanation(*rows):
    scores = Scores(np.eye(len(rows), 3, dtype=np.float32), np.eye(len(rows), 3, dtype=np.float32))
    prediction = Prediction(
        ModelId("m", "2", "digest"),
        {"y": scores.score},
        scores,
        ("cat", "dog"),
        (None,) * len(rows),
    )
    return Explanation(prediction, (rows,), {"total": 0.5})


def asked(*outputs, several=False):
    request = ExplainRequest("m", Tensors({}), (Cam(),))
    return Asked(request, dict.fromkeys(outputs, 0), several)


def test_rows_of_unlike_length_are_filled_up():
    found = explanation([answer([1, 2, 3], segments=[0, 1, 2])], [answer([4], segments=[0])])
    outputs = arrays(oip_responses.explain_response("id", found, asked()))
    assert outputs["candor.lime"].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert outputs["candor.lime.segments"].tolist() == [[0, 1, 2], [0, -1, -1]]
    assert outputs["candor.lime.segments"].dtype == np.int32


def test_several_targets_are_an_axis_of_maps_and_a_list_of_records():
    found = explanation([answer([1, 2], plus=0), answer([3, 4], plus=2)])
    response = oip_responses.explain_response("id", found, asked(several=True))
    assert arrays(response)["candor.lime"].tolist() == [[[1, 2], [3, 4]]]
    records = json.loads(response.parameters["candor.lime.trust"].string_param)
    assert [[record["target"]["plus"] for record in row] for row in records] == [[0, 2]]


def test_only_named_outputs_come_back_in_the_order_named():
    found = explanation([answer([1, 2], segments=[0, 1])])
    response = oip_responses.explain_response("id", found, asked("candor.lime.segments", "y"))
    assert [output.name for output in response.outputs] == ["candor.lime.segments", "y"]
    assert "candor.lime.trust" in response.parameters


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        (["hit", "hit"], "hit"),
        (["hit", "miss"], "partial"),
        (["hit", "coalesced"], "partial"),
        (["miss", "coalesced"], "miss"),
        (["coalesced", "coalesced"], "coalesced"),
        (["bypass"], "bypass"),
    ],
    ids=str,
)
def test_many_answers_have_one_cache_status(statuses, word):
    assert oip_responses.cache_status(statuses) == word


def test_an_incomplete_answer_is_not_told_as_complete():
    incomplete = answer([1])
    incomplete = Answer(incomplete.attribution, "bypass", "", complete=False)
    response = oip_responses.explain_response("id", explanation([incomplete]), asked())
    assert not response.parameters["candor.complete"].bool_param


def test_the_best_classes_come_with_labels_where_there_are_any():
    found = explanation([answer([1])], [answer([1])], [answer([1])])
    message = responses.predict_response(found.prediction, ["y"]).prediction
    assert [row.top[0].index for row in message.rows] == [0, 1, 2]
    assert [row.top[0].label for row in message.rows] == ["cat", "dog", ""]
    assert len(message.rows[0].top) == 3
    assert message.outputs["y"].shape == [3, 3]


def test_a_model_that_is_no_classifier_has_rows_without_classes():
    prediction = Prediction(ModelId("m", "1", "d"), {}, None, (), (None, None))
    message = responses.predict_response(prediction, ()).prediction
    assert not message.HasField("scores")
    assert [len(row.top) for row in message.rows] == [0, 0]


def test_a_difference_is_told_as_one():
    message = responses.attribution_message(answer([1], plus=2, minus=0).attribution, 4, 1)
    assert (message.row, message.target_position) == (4, 1)
    assert message.target.difference.plus.index == 2
    assert message.target.difference.minus.index == 0
    assert message.trust["probability"] == 0.973
    assert message.trust["figures"]["r2"] is None


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"plus": 0, "minus": None, "top": True}, "lime: cat (probability 97.3%)"),
        ({"plus": 5, "minus": None, "top": False}, "lime: class 5 (probability 97.3%)"),
        ({"plus": 1, "minus": 0, "top": False}, "lime: dog rather than cat"),
    ],
    ids=["label", "no label", "difference"],
)
def test_a_caption_says_what_was_explained(target, says):
    trust = {"method": "lime", "target": target, "probability": 0.973, "explained": "score"}
    unit = "what each part adds to the score, by a linear model"
    assert caption(trust, ("cat", "dog")) == f"{says}\n{unit}"
    assert caption(trust | {"method": "a new one"}, ("cat", "dog")) == says.replace(
        "lime", "a new one"
    )
