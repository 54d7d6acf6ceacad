"""The service's own handlers, called in this process: its answers, without a port or a wire."""

import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar, Unpack

from prometheus_client import CollectorRegistry

from candor.app import working
from candor.client import Asking, Estimate, Explanation, ModelInfo
from candor.client.asking import Methods, explain_request
from candor.client.reading import read_explanation, read_model
from candor.engine.deadline import Deadline
from candor.errors import CandorError, InternalError
from candor.metrics import Metrics
from candor.settings import Settings
from candor.v1 import explanation_pb2 as pb
from candor.v1 import model_pb2
from candor.wire.call import Call, Frame, request_id
from candor.wire.explanations import Explanations
from candor.wire.models import ModelCatalogue

__all__ = ["answering_within"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@asynccontextmanager
async def answering_within(settings: Settings, model: str) -> AsyncGenerator["_Within", None]:
    """The engine with one model, while the block runs.

    Raises:
        NotFound, InvalidModel: there is no such model, or it is broken.
        InvalidOption: a setting that cannot be followed.
    """
    frame = Frame(Metrics(CollectorRegistry()), settings.max_message_bytes)
    async with working(settings, frame, only=model) as (engine, store):
        yield _Within(Explanations(engine, store), ModelCatalogue(store))


class _Within:
    """As `AsyncClient`, without a connection."""

    def __init__(self, explanations: Explanations, catalogue: ModelCatalogue) -> None:
        self._explanations = explanations
        self._catalogue = catalogue

    async def model(
        self, name: str, version: str = "", *, timeout_s: float | None = None
    ) -> ModelInfo:
        request = model_pb2.GetModelRequest(name=name, version=version)
        response = await _ended(self._catalogue.get_model(request, _call(timeout_s)))
        return read_model(response.model)

    async def explain(
        self,
        model: str,
        methods: Methods,
        *,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Explanation:
        request = explain_request(model, methods, asking)
        return read_explanation(await _ended(self._explanations.explain(request, _call(timeout_s))))

    async def estimate(
        self,
        model: str,
        methods: Methods,
        *,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Estimate:
        request = pb.EstimateRequest(explain=explain_request(model, methods, asking))
        cost = await _ended(self._explanations.estimate(request, _call(timeout_s)))
        return Estimate(cost.model_calls, cost.milliseconds, cost.bytes)


def _call(timeout_s: float | None) -> Call:
    return Call(request_id(None), Deadline.after(timeout_s))


async def _ended(answer: Awaitable[T]) -> T:
    """The answer; what is no error of ours is a defect, as it is on the wire."""
    try:
        return await answer
    except CandorError:
        raise
    except Exception as error:
        _LOG.exception("internal error")
        raise InternalError(f"{type(error).__name__}: {error}") from error
