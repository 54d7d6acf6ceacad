"""The engine's results to candor.v1 responses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from candor.engine.request import Answer, Explanation, Prediction
from candor.errors import InvalidArgument
from candor.protocol.tensors import write_tensor
from candor.result import Attribution, CacheStatus, ImageView, Json, Scores, TextView, View
from candor.v1 import explanation_pb2 as pb

__all__ = [
    "Drawings",
    "Drawn",
    "attribution_message",
    "check_outputs",
    "explain_response",
    "places",
    "predict_response",
]

_TOP = 5

_CACHE_STATUS: Mapping[CacheStatus, pb.CacheStatus.ValueType] = MappingProxyType(
    {
        "hit": pb.CACHE_STATUS_HIT,
        "miss": pb.CACHE_STATUS_MISS,
        "coalesced": pb.CACHE_STATUS_COALESCED,
        "bypass": pb.CACHE_STATUS_BYPASS,
    }
)


def predict_response(prediction: Prediction, outputs: Sequence[str]) -> pb.PredictResponse:
    """Write a prediction, with the outputs of the graph that were asked for."""
    response = pb.PredictResponse()
    _write_prediction(prediction, outputs, response.prediction)
    return response


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawing as a file, and whether it is the picture that was sent with a map on it."""

    media_type: str
    content: bytes
    on_picture: bool


Drawings: TypeAlias = Mapping[tuple[int, int, int], Drawn]
"""By position of method, row and target."""


def explain_response(
    explanation: Explanation, outputs: Sequence[str], drawings: Drawings
) -> pb.ExplainResponse:
    """Write explanations, with their drawings if there are some."""
    response = pb.ExplainResponse(timings_s=dict(explanation.timings_s))
    _write_prediction(explanation.prediction, outputs, response.prediction)
    for place, answer in places(explanation):
        _, row, position = place
        message = response.attributions.add()
        _write_attribution(answer.attribution, row, position, message)
        message.cache_status = _CACHE_STATUS[answer.cache]
        message.cache_key = answer.key
        message.complete = answer.complete
        message.not_explained = answer.not_explained
        drawn = drawings.get(place)
        if drawn is not None and drawn.on_picture:
            message.overlay_png = drawn.content
        elif drawn is not None:
            message.drawing.media_type = drawn.media_type
            message.drawing.content = drawn.content
    return response


def places(explanation: Explanation) -> Iterator[tuple[tuple[int, int, int], Answer]]:
    """Every answer with its position of method, row and target, in that order."""
    for method, rows in enumerate(explanation.answers):
        for row, answers in enumerate(rows):
            for position, answer in enumerate(answers):
                yield (method, row, position), answer


def attribution_message(attribution: Attribution, row: int, position: int) -> pb.Attribution:
    """Write one attribution, nothing said of the cache."""
    message = pb.Attribution()
    _write_attribution(attribution, row, position, message)
    return message


def check_outputs(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an output that the graph does not have.

    Raises:
        InvalidArgument: the first such name.
    """
    for name in wanted:
        if name not in known:
            raise InvalidArgument(f"there is no output '{name}'; there are {', '.join(known)}")


# Messages are filled in place: one that is handed to another's constructor is copied, with all that
# it holds, which for a small prediction takes longer than everything else here.


def _write_prediction(
    prediction: Prediction, outputs: Sequence[str], message: pb.Prediction
) -> None:
    model, scores = prediction.model, prediction.scores
    message.model.name, message.model.version = model.name, model.version
    message.model.digest = model.digest
    if scores is not None:
        write_tensor(scores.score, message.scores)
        write_tensor(scores.probability, message.probabilities)
    for row, view in enumerate(prediction.views):
        written = message.rows.add()
        if scores is not None:
            _write_top(scores, row, prediction.labels, written)
        _write_view(view, written)
    for name in outputs:
        write_tensor(prediction.outputs[name], message.outputs[name])


def _write_top(scores: Scores, row: int, labels: Sequence[str], message: pb.Row) -> None:
    score, probability = scores.score[row], scores.probability[row]
    best = (-probability).argsort(kind="stable")[:_TOP]
    ranked = zip(best.tolist(), score[best].tolist(), probability[best].tolist(), strict=True)
    for index, reached, share in ranked:
        label = labels[index] if index < len(labels) else ""
        message.top.add(index=index, label=label, score=reached, probability=share)


def _write_view(view: View | None, message: pb.Row) -> None:
    if isinstance(view, ImageView):
        left, top, right, bottom = view.box
        box = {"left": left, "top": top, "right": right, "bottom": bottom}
        message.image.CopyFrom(pb.ImageView(width=view.width, height=view.height, **box))
    if isinstance(view, TextView):
        tokens = zip(view.tokens, view.offsets, view.known, strict=True)
        message.text.SetInParent()
        for text, (start, end), known in tokens:
            message.text.tokens.add(text=text, start=start, end=end, known=known)


def _write_attribution(
    attribution: Attribution, row: int, position: int, message: pb.Attribution
) -> None:
    message.method, message.input = attribution.method, attribution.input
    message.row, message.target_position = row, position
    message.target.CopyFrom(_target(attribution.trust))
    write_tensor(attribution.values, message.values)
    if attribution.segments is not None:
        write_tensor(attribution.segments, message.segments)
    message.trust.update(dict(attribution.trust))


def _target(trust: Mapping[str, Json]) -> pb.Target:
    """The target that the trust record tells of, its classes resolved."""
    match trust.get("target"):
        case {"plus": int(plus), "minus": int(minus)}:
            sides = {"plus": pb.ClassRef(index=plus), "minus": pb.ClassRef(index=minus)}
            return pb.Target(difference=pb.Difference(**sides))
        case {"plus": int(plus)}:
            return pb.Target(index=plus)
        case _:
            return pb.Target()
