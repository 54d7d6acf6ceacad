"""Plain predictions: those that wait for the same model share a run where rows are alike."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from candor.engine.house import House
from candor.engine.joint import Joint
from candor.engine.model import Model
from candor.engine.request import Prediction, PredictRequest
from candor.engine.rows import scores_of
from candor.errors import CandorError, InternalError
from candor.result import Array, Encoded, Images, Payload, Scores, Tensors, Texts

__all__ = ["brief_prediction", "is_brief", "joint_prediction", "n_rows"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, as it waits."""

    house: House
    model: Model
    request: PredictRequest
    queued_at: float


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One request, ready to run."""

    asked: _Asked
    encoded: Encoded
    queued_s: float
    prepared_s: float

    @property
    def tensors(self) -> Mapping[str, Array]:
        return self.encoded.tensors

    @property
    def n_rows(self) -> int:
        return len(self.encoded.views)


def is_brief(model: Model, request: PredictRequest) -> bool:
    """Whether a prediction takes less than handing it to a thread, and does not wait for others."""
    return (
        model.joining.delay_s <= 0
        and model.awake
        and model.brevity.expects("predict", request.payload, n_rows(request.payload))
    )


def joint_prediction(house: House, model: Model, request: PredictRequest) -> Joint:
    """A prediction as work that may share its run with others, in a thread."""
    max_rows = model.joining.max_rows(request.payload)
    return _joint(_Asked(house, model, request, time.monotonic()), max_rows, _answer_and_try)


def brief_prediction(house: House, model: Model, request: PredictRequest) -> Joint:
    """One that `is_brief` as work that may share its run with others, on the event loop."""
    max_rows = model.joining.most_brief_rows
    return _joint(_Asked(house, model, request, time.monotonic()), max_rows, _answer)


def _joint(asked: _Asked, max_rows: int, run: Callable[[Sequence[_Asked]], Sequence[Any]]) -> Joint:
    model, request = asked.model, asked.request
    rows = n_rows(request.payload)
    most = max_rows if rows else 1
    # By identity: a model that is loaded anew under the same name is another one.
    key = ("predict", id(model), request.outputs, request.scores, _kind(request.payload))
    delay_s = model.joining.delay_s if rows < most else 0.0
    return Joint(key, asked, rows, most, delay_s, run)


def _answer_and_try(items: Sequence[_Asked]) -> list[Prediction | CandorError]:
    """As `_answer`; then find out whether what is brief may run with others from now on."""
    answers = _answer(items)
    model, request = items[0].model, items[0].request
    if not model.joining.tried and n_rows(request.payload) and is_brief(model, request):
        with suppress(CandorError):
            model.joining.alike(model.encode(request.payload).tensors)
    return answers


def _answer(items: Sequence[_Asked]) -> list[Prediction | CandorError]:
    """Answer requests of one key: prepared one by one, run together where their shapes agree.

    Raises:
        CandorError: a run that several share has failed, or they are not to share one.
    """
    prepared = [_prepare(asked) for asked in items]
    if len(prepared) == 1:
        return [one if isinstance(one, CandorError) else _run([one])[0][1] for one in prepared]
    groups: dict[Hashable, list[_Prepared]] = defaultdict(list)
    for one in prepared:
        if isinstance(one, _Prepared):
            groups[_shapes(one)].append(one)
    answers = {id(one): answer for group in groups.values() for one, answer in _run(group)}
    return [one if isinstance(one, CandorError) else answers[id(one)] for one in prepared]


def _prepare(asked: _Asked) -> _Prepared | CandorError:
    try:
        return _prepared(asked)
    except CandorError as error:
        return error


def _prepared(asked: _Asked) -> _Prepared:
    began = time.monotonic()
    encoded = asked.model.encode(asked.request.payload)
    return _Prepared(asked, encoded, began - asked.queued_at, time.monotonic() - began)


def _run(group: Sequence[_Prepared]) -> list[tuple[_Prepared, Prediction]]:
    """One run for requests of the same shapes."""
    began = time.monotonic()
    asked = group[0].asked
    model, house, request = asked.model, asked.house, asked.request
    counts = [one.n_rows for one in group]
    if len(group) > 1 and not model.joining.alike(group[0].tensors):
        raise InternalError("rows of this model do not share a run")
    tensors = _joined([one.tensors for one in group])
    with model.brevity.timed("predict", sum(counts)):
        outputs = model.run(tensors, request.outputs)
    house.metrics.batch(model.id.name, sum(counts))
    scores = scores_of(model, tensors, outputs) if request.scores else None
    parts = _split(outputs, scores, counts)
    seconds = time.monotonic() - began
    return [
        (one, _prediction(one, own, own_scores, seconds))
        for one, (own, own_scores) in zip(group, parts, strict=True)
    ]


def _prediction(
    one: _Prepared, outputs: Mapping[str, Array], scores: Scores | None, seconds: float
) -> Prediction:
    model = one.asked.model
    timings_s = {"queue": one.queued_s, "prepare": one.prepared_s, "compute": seconds}
    return Prediction(model.id, outputs, scores, model.labels, one.encoded.views, timings_s)


def _joined(several: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    if len(several) == 1:
        return several[0]
    return {name: np.concatenate([tensors[name] for tensors in several]) for name in several[0]}


def _split(
    outputs: Mapping[str, Array], scores: Scores | None, counts: Sequence[int]
) -> list[tuple[Mapping[str, Array], Scores | None]]:
    """What each request asked for, out of what all asked for."""
    if len(counts) == 1:
        return [(outputs, scores)]
    n_rows = sum(counts)
    for name, array in outputs.items():
        if array.shape[:1] != (n_rows,):
            raise InternalError(f"output '{name}' is {list(array.shape)}, of {n_rows} rows")
    ends = np.cumsum(counts).tolist()
    parts = [slice(end - size, end) for end, size in zip(ends, counts, strict=True)]
    return [
        (
            {name: array[part] for name, array in outputs.items()},
            Scores(scores.score[part], scores.probability[part]) if scores else None,
        )
        for part in parts
    ]


def _shapes(one: _Prepared) -> Hashable:
    """What has to agree; a request without rows runs by itself."""
    alone = id(one) if one.n_rows == 0 else 0
    return alone, tuple(
        [(name, array.dtype, array.shape[1:]) for name, array in one.tensors.items()]
    )


def _kind(payload: Payload) -> Hashable:
    """What is known to agree before anything is prepared: tensors by their shapes."""
    if not isinstance(payload, Tensors):
        return type(payload).__name__
    return tuple([(name, array.dtype, array.shape[1:]) for name, array in payload.by_name.items()])


def n_rows(payload: Payload) -> int:
    """Rows of a request; 0 where its tensors have none."""
    match payload:
        case Tensors():
            return max([len(array) for array in payload.by_name.values() if array.ndim], default=0)
        case Images():
            return len(payload.encoded)
        case Texts():
            return len(payload.texts)
