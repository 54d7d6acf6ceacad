"""From candor.v1 responses to the client's values."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import cast

from google.protobuf.json_format import MessageToDict

from candor.client.answers import (
    Answer,
    Drawing,
    Explanation,
    ModelInfo,
    ModelSummary,
    Prediction,
    Progress,
    RankedClass,
    Row,
)
from candor.client.sanity import read_sanity
from candor.protocol.tensors import from_tensor
from candor.result import Array, CacheStatus, ImageView, Json, ModelId, Target, TextView, View
from candor.v1 import explanation_pb2 as pb
from candor.v1 import model_pb2, tensor_pb2

__all__ = [
    "read_explanation",
    "read_identity",
    "read_model",
    "read_prediction",
    "read_progress",
    "read_summary",
]

_CACHE: Mapping[int, CacheStatus] = MappingProxyType(
    {
        pb.CACHE_STATUS_HIT: "hit",
        pb.CACHE_STATUS_MISS: "miss",
        pb.CACHE_STATUS_COALESCED: "coalesced",
        pb.CACHE_STATUS_BYPASS: "bypass",
    }
)


def read_prediction(message: pb.Prediction) -> Prediction:
    """Read a prediction."""
    return Prediction(
        model=read_identity(message.model),
        rows=tuple(Row(tuple(map(_ranked, row.top)), _view(row)) for row in message.rows),
        scores=_array(message.scores) if message.HasField("scores") else None,
        probabilities=_array(message.probabilities) if message.HasField("probabilities") else None,
        outputs={name: _array(message.outputs[name]) for name in message.outputs},
    )


def read_explanation(message: pb.ExplainResponse) -> Explanation:
    """Read an explanation."""
    return Explanation(
        prediction=read_prediction(message.prediction),
        answers=tuple(map(_answer, message.attributions)),
        timings_s=dict(message.timings_s),
    )


def read_progress(message: pb.Progress) -> Progress:
    """Read a report of progress."""
    return Progress(
        method=message.method,
        row=message.row,
        position=message.target_position,
        fraction=message.fraction,
        partial=_answer(message.partial) if message.HasField("partial") else None,
        further=tuple(map(_answer, message.further)),
    )


def read_summary(message: model_pb2.ModelSummary) -> ModelSummary:
    """Read a line in the list of models."""
    state = model_pb2.ModelState.Name(message.state).removeprefix("MODEL_STATE_").lower()
    return ModelSummary(
        id=read_identity(message.id),
        state=state,
        reason=message.reason,
        title=message.title,
        kind=message.kind,
        methods=tuple(message.methods),
    )


def read_model(message: model_pb2.Model) -> ModelInfo:
    """Read everything about one model."""
    return ModelInfo(
        id=read_identity(message.id),
        title=message.title,
        licence=message.licence,
        source=message.source,
        kind=message.kind,
        inputs=_specs(message.inputs),
        outputs=_specs(message.outputs),
        labels=tuple(message.labels),
        layers={layer.name: tuple(layer.shape) for layer in message.layers},
        default_layer=message.default_layer,
        methods={each.name: None if each.supported else each.reason for each in message.methods},
        provider=message.provider,
        activation=message.activation,
        preprocessing=message.preprocessing,
        sanity=read_sanity(message.sanity) if message.HasField("sanity") else None,
        sanity_stale=message.sanity.stale,
        explained_inputs=tuple(message.explained_inputs),
    )


def _array(tensor: tensor_pb2.Tensor) -> Array:
    return from_tensor(tensor, "the server's answer")


def read_identity(message: model_pb2.ModelId) -> ModelId:
    """Read which model it is."""
    return ModelId(message.name, message.version, message.digest)


def _ranked(message: pb.RankedClass) -> RankedClass:
    return RankedClass(message.index, message.label, message.score, message.probability)


def _view(row: pb.Row) -> View | None:
    kind = row.WhichOneof("view")
    if kind == "image":
        image = row.image
        box = (image.left, image.top, image.right, image.bottom)
        return ImageView(image.width, image.height, box)
    if kind == "text":
        tokens = row.text.tokens
        return TextView(
            tokens=tuple(token.text for token in tokens),
            offsets=tuple((token.start, token.end) for token in tokens),
            known=tuple(token.known for token in tokens),
        )
    return None


def _answer(message: pb.Attribution) -> Answer:
    overlay = message.overlay_png  # each reading of the field is a copy
    return Answer(
        method=message.method,
        row=message.row,
        position=message.target_position,
        target=_target(message.target),
        values=_array(message.values),
        segments=_array(message.segments) if message.HasField("segments") else None,
        trust=cast("dict[str, Json]", _whole(MessageToDict(message.trust))),
        cache=_CACHE.get(message.cache_status),
        cache_key=message.cache_key,
        complete=message.complete,
        overlay_png=overlay,
        drawing=_drawing(message, overlay),
        not_explained=message.not_explained,
        input_name=message.input,
    )


def _drawing(message: pb.Attribution, overlay: bytes) -> Drawing | None:
    if overlay:
        return Drawing("image/png", overlay)
    if not message.HasField("drawing"):
        return None
    return Drawing(message.drawing.media_type, message.drawing.content)


def _whole(value: Json) -> Json:
    """Struct has floats only; what is a whole number reads better, and repeats, as an int."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _target(message: pb.Target) -> Target:
    if message.WhichOneof("target") == "difference":
        return Target(message.difference.plus.index, message.difference.minus.index)
    return Target(message.index)


def _specs(
    messages: Iterable[model_pb2.TensorSpec],
) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    return tuple((spec.name, spec.datatype, tuple(spec.shape)) for spec in messages)
