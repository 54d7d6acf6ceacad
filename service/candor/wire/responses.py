"""The engine's results to candor.v1 responses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from candor.engine.request import Answer, Explanation, Prediction
from candor.errors import InvalidArgument
from candor.protocol.tensors import to_tensor
from candor.result import Attribution, CacheStatus, ImageView, Json, Scores, TextView, View
from candor.v1 import explanation_pb2 as pb
from candor.v1 import model_pb2

__all__ = [
    "Drawings",
    "Drawn",
    "attribution_message",
    "check_outputs",
    "explain_response",
    "places",
    "prediction_message",
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


def prediction_message(prediction: Prediction, outputs: Sequence[str]) -> pb.Prediction:
    """Write a prediction, with the outputs of the graph that were asked for."""
    model, scores, labels = prediction.model, prediction.scores, prediction.labels
    return pb.Prediction(
        model=model_pb2.ModelId(name=model.name, version=model.version, digest=model.digest),
        scores=to_tensor(scores.score) if scores else None,
        probabilities=to_tensor(scores.probability) if scores else None,
        rows=[
            pb.Row(top=_top(scores, row, labels) if scores else (), **_view(view))
            for row, view in enumerate(prediction.views)
        ],
        outputs={name: to_tensor(prediction.outputs[name]) for name in outputs},
    )


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
    response = pb.ExplainResponse(
        prediction=prediction_message(explanation.prediction, outputs),
        timings_s=dict(explanation.timings_s),
    )
    for place, answer in places(explanation):
        _, row, position = place
        message = attribution_message(answer.attribution, row, position)
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
        response.attributions.append(message)
    return response


def places(explanation: Explanation) -> Iterator[tuple[tuple[int, int, int], Answer]]:
    """Every answer with its position of method, row and target, in that order."""
    for method, rows in enumerate(explanation.answers):
        for row, answers in enumerate(rows):
            for position, answer in enumerate(answers):
                yield (method, row, position), answer


def attribution_message(attribution: Attribution, row: int, position: int) -> pb.Attribution:
    """Write one attribution, nothing said of the cache."""
    message = pb.Attribution(
        method=attribution.method,
        row=row,
        target_position=position,
        target=_target(attribution.trust),
        values=to_tensor(attribution.values),
    )
    if attribution.segments is not None:
        message.segments.CopyFrom(to_tensor(attribution.segments))
    message.trust.update(dict(attribution.trust))
    return message


def check_outputs(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an output that the graph does not have.

    Raises:
        InvalidArgument: the first such name.
    """
    for name in wanted:
        if name not in known:
            raise InvalidArgument(f"there is no output '{name}'; there are {', '.join(known)}")


def _top(scores: Scores, row: int, labels: Sequence[str]) -> list[pb.RankedClass]:
    score, probability = scores.score[row], scores.probability[row]
    return [
        pb.RankedClass(
            index=index,
            label=labels[index] if index < len(labels) else "",
            score=score[index],
            probability=probability[index],
        )
        for index in (-probability).argsort(kind="stable")[:_TOP].tolist()
    ]


def _view(view: View | None) -> dict[str, Any]:
    if isinstance(view, ImageView):
        left, top, right, bottom = view.box
        box = {"left": left, "top": top, "right": right, "bottom": bottom}
        return {"image": pb.ImageView(width=view.width, height=view.height, **box)}
    if isinstance(view, TextView):
        tokens = zip(view.tokens, view.offsets, view.known, strict=True)
        return {
            "text": pb.TextView(
                tokens=[
                    pb.Token(text=text, start=start, end=end, known=known)
                    for text, (start, end), known in tokens
                ]
            )
        }
    return {}


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
