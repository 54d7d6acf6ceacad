"""Ask for the rows of a batch: a row that cannot be answered must not take the others with it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeAlias, cast

import numpy as np

from candor.bulk.places import Answerer
from candor.bulk.reading import Batch
from candor.bulk.rows import Payload
from candor.client import Asking, Explanation, ModelInfo
from candor.errors import (
    Cancelled,
    CandorError,
    InvalidModel,
    NotFound,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from candor.result import Array

__all__ = ["Answered", "Question", "ask_batch", "ask_model", "check_asked"]

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0
# The service, and no row, is to blame: of these, another try may help ...
_AGAIN: Final = (Unavailable, Overloaded, Cancelled)
# ... and of these it will not.
_NEVER: Final = (NotFound, InvalidModel, Unauthenticated, PermissionDenied)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every row.

    Attributes:
        model: its name.
        methods: options by method.
        asking: what else the client is told, but the rows.
        digest: of the model that has to answer; "" for any.
        timeout_s: of one call; None: no limit.
        patience_s: how long a service that is busy or away is asked again.
    """

    model: str
    methods: Mapping[str, Mapping[str, str]]
    asking: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    timeout_s: float | None = None
    patience_s: float = 300.0


# An explanation and the row of it, or why there is none.
Answered: TypeAlias = tuple[Explanation, int] | str


async def ask_model(answerer: Answerer, question: Question) -> ModelInfo:
    """Describe the model that a question is for.

    Raises:
        CandorError: as the client has it.
    """
    version = question.asking.get("version", "")
    return await answerer.model(question.model, version, timeout_s=question.timeout_s)


async def check_asked(
    answerer: Answerer, question: Question, payloads: Sequence[Payload]
) -> CandorError | None:
    """Why a question cannot be asked of the first of these rows, or None where it can of one."""
    error: CandorError | None = None
    for payload in payloads:
        try:
            await answerer.estimate(
                question.model,
                [question.methods],
                timeout_s=question.timeout_s,
                **_with_rows(question, [payload]),
            )
        except CandorError as found:
            error = error or found
        else:
            return None
    return error


async def ask_batch(answerer: Answerer, question: Question, batch: Batch) -> list[Answered]:
    """Ask for a batch in as few calls as can be.

    Returns:
        One for each row.

    Raises:
        CandorError: the service could not be reached for too long, refuses us, or has another model
            than the one that the question is for.
    """
    good = [index for index, row in enumerate(batch.rows) if row.payload is not None]
    answers: list[Answered] = [row.error for row in batch.rows]
    payloads = [cast("Payload", batch.rows[index].payload) for index in good]
    for index, answer in zip(good, await _ask(answerer, question, payloads), strict=True):
        answers[index] = answer
    return answers


async def _ask(answerer: Answerer, question: Question, payloads: list[Payload]) -> list[Answered]:
    """Ask for rows together, or for each half of them where that is refused."""
    if not payloads:
        return []
    try:
        explanation = await _patiently(answerer, question, payloads)
    except (*_AGAIN, *_NEVER):
        raise
    except (CandorError, ValueError) as error:  # ValueError: letters that no message can hold
        if len(payloads) == 1:
            return [f"{type(error).__name__}: {error}"]
        half = len(payloads) // 2
        return [
            *await _ask(answerer, question, payloads[:half]),
            *await _ask(answerer, question, payloads[half:]),
        ]
    return [(explanation, row) for row in range(len(payloads))]


async def _patiently(
    answerer: Answerer, question: Question, payloads: list[Payload]
) -> Explanation:
    """Ask, and again for as long as the service is away or busy and our patience lasts."""
    until: float | None = None
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            explanation = await answerer.explain(
                question.model,
                [question.methods],
                timeout_s=question.timeout_s,
                **_with_rows(question, payloads),
            )
        except _AGAIN as error:
            now = monotonic()
            until = now + question.patience_s if until is None else until
            if now + wait_s > until:
                raise
            asked_for = error.retry_after_s if isinstance(error, Overloaded) else 0.0
            await asyncio.sleep(max(wait_s, asked_for))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            continue
        _check_digest(explanation, question)
        return explanation


def _check_digest(explanation: Explanation, question: Question) -> None:
    model = explanation.prediction.model
    if question.digest and model.digest != question.digest:
        raise InvalidModel(
            f"{model.name} version {model.version} is another model by now: it has the digest "
            f"{model.digest}, and the job was begun with {question.digest}"
        )


def _with_rows(question: Question, payloads: list[Payload]) -> Asking:
    """The question with its rows, which are all of one kind."""
    first = payloads[0]
    rows: dict[str, Any]
    if isinstance(first, dict):
        arrays = cast("list[dict[str, Array]]", payloads)
        rows = {"tensors": {name: np.stack([row[name] for row in arrays]) for name in first}}
    else:
        rows = {"images" if isinstance(first, bytes) else "texts": payloads}
    return cast("Asking", {**question.asking, **rows})
