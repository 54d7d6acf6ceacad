"""The client for asyncio: the same calls, awaited."""

from collections.abc import Callable
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
from candor.client.failures import translating
from candor.client.jobs_aio import AsyncJob
from candor.client.jobs_reading import read_status, submit_request
from candor.client.reading import (
    read_explanation,
    read_model,
    read_prediction,
    read_progress,
    read_summary,
)
from candor.errors import InternalError
from candor.v1 import explanation_pb2 as pb
from candor.v1 import job_pb2, model_pb2
from candor.v1.explanation_pb2_grpc import ExplanationServiceStub
from candor.v1.job_pb2_grpc import JobServiceStub
from candor.v1.model_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    # The same classes at run time; only their types know which channel they were given.
    from candor.v1.explanation_pb2_grpc import ExplanationServiceAsyncStub
    from candor.v1.job_pb2_grpc import JobServiceAsyncStub
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
        self._jobs: JobServiceAsyncStub = JobServiceStub(self._channel)
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
        with translating():
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
        with translating():
            response = await self._models.GetModel(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return read_model(response.model)

    async def predict(
        self, model: str, *, timeout_s: float | None = None, **rows: Unpack[Rows]
    ) -> Prediction:
        """Classify rows: `images=`, `texts=` or `tensors=`."""
        request = predict_request(model, rows)
        with translating():
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
        with translating():
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
        with translating():
            response = await self._explanations.Estimate(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return Estimate(response.model_calls, response.milliseconds, response.bytes)

    async def submit(
        self,
        model: str,
        methods: Methods,
        *,
        job_id: str = "",
        priority: int = 0,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> AsyncJob:
        """Have rows explained as a job; the arguments are those of `Client.submit`."""
        request = submit_request(model, methods, asking, job_id, priority)
        with translating():
            response = await self._jobs.SubmitJob(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return AsyncJob(self._jobs, self._metadata, read_status(response.job))

    async def job(self, job_id: str, *, timeout_s: float | None = None) -> AsyncJob:
        """Find a job again, whoever submitted it, from wherever."""
        request = job_pb2.GetJobRequest(id=job_id, omit_answer=True)
        with translating():
            response = await self._jobs.GetJob(request, timeout=timeout_s, metadata=self._metadata)
        return AsyncJob(self._jobs, self._metadata, read_status(response.job))

    async def jobs(
        self, limit: int = 100, *, timeout_s: float | None = None
    ) -> tuple[AsyncJob, ...]:
        """The newest jobs."""
        request = job_pb2.ListJobsRequest(limit=limit)
        with translating():
            response = await self._jobs.ListJobs(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return tuple(
            AsyncJob(self._jobs, self._metadata, read_status(job)) for job in response.jobs
        )

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
