"""The client for asyncio: the same calls, awaited."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

import grpc

from candor.client.answers import (
    Estimate,
    Explanation,
    ModelInfo,
    ModelSummary,
    Prediction,
    Progress,
)
from candor.client.asking import Asking, Methods, Rows, explain_request, predict_request
from candor.client.connection import (
    ATTEMPTS,
    Tls,
    channel_credentials,
    channel_options,
    key_metadata,
)
from candor.client.failures import translated
from candor.client.reading import (
    read_explanation,
    read_model,
    read_prediction,
    read_progress,
    read_summary,
)
from candor.errors import InternalError
from candor.v1 import explanation_pb2 as pb
from candor.v1 import model_pb2
from candor.v1.explanation_pb2_grpc import ExplanationServiceStub
from candor.v1.model_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    # The same classes at run time; only their types know which channel they were given.
    from candor.v1.explanation_pb2_grpc import ExplanationServiceAsyncStub
    from candor.v1.model_pb2_grpc import ModelServiceAsyncStub

__all__ = ["AsyncClient"]


class AsyncClient:
    """As `Client`, for one event loop; cancelling a call cancels it on the server."""

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | bool = False,
        api_key: str = "",
        attempts: int = ATTEMPTS,
    ) -> None:
        """Connect when first used; the arguments are those of `Client`."""
        options, credentials = channel_options(attempts, tls), channel_credentials(tls)
        self._channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self._metadata = key_metadata(api_key)
        self._explanations: ExplanationServiceAsyncStub = ExplanationServiceStub(self._channel)
        self._models: ModelServiceAsyncStub = ModelServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; calls under way are cancelled."""
        await self._channel.close()

    async def models(self, *, timeout_s: float | None = None) -> tuple[ModelSummary, ...]:
        """List all models, the broken ones with the reason."""
        with _translating():
            request = model_pb2.ListModelsRequest()
            response = await self._models.ListModels(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return tuple(map(read_summary, response.models))

    async def model(
        self, name: str, version: str = "", *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Describe one model."""
        request = model_pb2.GetModelRequest(name=name, version=version)
        with _translating():
            response = await self._models.GetModel(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return read_model(response.model)

    async def predict(
        self, model: str, *, timeout_s: float | None = None, **rows: Unpack[Rows]
    ) -> Prediction:
        """Classify rows: `images=`, `texts=` or `tensors=`."""
        request = predict_request(model, rows)
        with _translating():
            response = await self._explanations.Predict(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return read_prediction(response.prediction)

    async def explain(
        self,
        model: str,
        methods: Methods,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Explanation:
        """Classify and explain rows; the arguments are those of `Client.explain`."""
        request = explain_request(model, methods, asking)
        with _translating():
            if on_progress is not None:
                return await self._watched(request, on_progress, timeout_s)
            response = await self._explanations.Explain(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return read_explanation(response)

    async def estimate(
        self,
        model: str,
        methods: Methods,
        *,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Estimate:
        """Say what `explain` with the same arguments would cost, without running it."""
        request = pb.EstimateRequest(explain=explain_request(model, methods, asking))
        with _translating():
            response = await self._explanations.Estimate(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return Estimate(response.model_calls, response.milliseconds, response.bytes)

    async def _watched(
        self,
        request: pb.ExplainRequest,
        on_progress: Callable[[Progress], None],
        timeout_s: float | None,
    ) -> Explanation:
        stream = pb.ExplainStreamRequest(explain=request)
        call = self._explanations.ExplainStream(stream, timeout=timeout_s, metadata=self._metadata)
        try:
            async for event in call:
                if event.WhichOneof("event") == "result":
                    return read_explanation(event.result)
                on_progress(read_progress(event.progress))
        finally:
            call.cancel()
        raise InternalError("the stream ended without a result")


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise translated(error) from error
