"""The engine's results to a ModelInferResponse: outputs of the graph, then the explanations.

The outputs `candor.<method>` are float32 with the rows first, then, where several targets were
asked for, the targets, then the positions: images [n, h, w], tokens and series [n, t], tabular
[n, f]. Where several of the model's inputs are explained, each has its own, which is called
`candor.<method>.<input>`. Rows of unlike length are filled up with 0, segments with -1; rows that
were not explained are NaN. Where pictures or texts were sent, the parameter `candor.views` says of
each row, as JSON, what the server made of it: the box of the picture that the model saw, or tokens
with their offsets in characters.
"""

import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from candor.engine.request import Answer, Explanation, Prediction
from candor.errors import InvalidInput
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.views import view_record
from candor.result import Array, Attribution, Json
from candor.wire.oip_parameters import PREFIX
from candor.wire.oip_requests import Asked
from candor.wire.oip_tensors import add_output, classify

__all__ = ["cache_status", "explain_response", "output_name", "predict_response"]

_Answers = Sequence[Sequence[Answer]]


def predict_response(
    request_id: str, prediction: Prediction, asked: Asked
) -> pb.ModelInferResponse:
    """Write the outputs of the graph, those asked for or all."""
    return _response(request_id, prediction, prediction.outputs, asked)


def explain_response(
    request_id: str, explanation: Explanation, asked: Asked
) -> pb.ModelInferResponse:
    """Write outputs, maps and what the maps are worth."""
    answers = [answer for rows in explanation.answers for row in rows for answer in row]
    arrays: dict[str, Array] = dict(explanation.prediction.outputs)
    trust: dict[str, str] = {}
    for rows in explanation.answers:
        name = output_name(rows[0][0].attribution)
        arrays[name] = _stacked(rows, "values", 0, asked)
        if any(answer.attribution.segments is not None for row in rows for answer in row):
            arrays[f"{name}.segments"] = _stacked(rows, "segments", -1, asked)
        trust[name] = _trust(rows, asked)
    response = _response(request_id, explanation.prediction, arrays, asked)
    for name, text in trust.items():
        response.parameters[f"{name}.trust"].string_param = text
    response.parameters["candor.model_digest"].string_param = explanation.prediction.model.digest
    status = cache_status(explanation.statuses)
    response.parameters["candor.cache_status"].string_param = status
    complete = all(answer.complete for answer in answers)
    response.parameters["candor.complete"].bool_param = complete
    views = [view_record(view) for view in explanation.prediction.views]
    if any(views):
        response.parameters["candor.views"].string_param = json.dumps(views, ensure_ascii=False)
    return response


def output_name(attribution: Attribution) -> str:
    """What a map is called by: `candor.<method>`, of several inputs `candor.<method>.<input>`."""
    own = f".{attribution.input}" if attribution.input else ""
    return f"{PREFIX}{attribution.method}{own}"


def cache_status(statuses: Collection[str]) -> str:
    """One word for all answers: `hit` only if all hit, `partial` if some did."""
    if "hit" in statuses:
        return "hit" if set(statuses) == {"hit"} else "partial"
    return next(word for word in ("miss", "coalesced", "bypass") if word in statuses)


def _response(
    request_id: str, prediction: Prediction, arrays: Mapping[str, Array], asked: Asked
) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(
        model_name=prediction.model.name, model_version=prediction.model.version, id=request_id
    )
    for name in asked.outputs or arrays:
        if name not in arrays:  # which inputs there are maps of depends on what is explained
            raise InvalidInput(f"there is no output '{name}'; this request has {', '.join(arrays)}")
        array, k = arrays[name], asked.outputs.get(name, 0)
        add_output(response, name, classify(name, array, k, prediction.labels) if k else array)
    return response


def _stacked(rows: _Answers, part: str, fill: int, asked: Asked) -> Array:
    """All rows (and targets) of one method as one array."""
    dtype = np.float32 if part == "values" else np.int32
    flat = [answer for row in rows for answer in row]
    # Of rows that were not explained neither shape nor segments are known for certain.
    sure = [answer for answer in flat if not answer.not_explained] or flat
    shapes = [getattr(answer.attribution, part).shape for answer in sure]
    shape = tuple(max(lengths) for lengths in zip(*shapes, strict=True))
    stacked = np.full((len(rows), len(rows[0]), *shape), fill, dtype=dtype)
    for row, several in enumerate(rows):
        for position, answer in enumerate(several):
            if not answer.not_explained:
                array = getattr(answer.attribution, part)
                stacked[row, position][tuple(map(slice, array.shape))] = array
            elif part == "values":
                stacked[row, position] = np.nan
    return stacked if asked.several else stacked[:, 0]


def _trust(rows: _Answers, asked: Asked) -> str:
    """A JSON list with one record a row; where several targets were asked for, one list a row."""
    records: list[list[Mapping[str, Json]]] = [
        [answer.attribution.trust for answer in row] for row in rows
    ]
    listed = records if asked.several else [row[0] for row in records]
    return json.dumps(listed, default=dict, ensure_ascii=False, allow_nan=False)
