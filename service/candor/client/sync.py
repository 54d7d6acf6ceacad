"""The client for ordinary code."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

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
from candor.client.jobs import Job
from candor.client.jobs_reading import read_status, submit_request
from candor.client.reading import (
    read_explanation,
    read_model,
    read_prediction,
    read_progress,
    read_summary,
)
from candor.errors import InternalError, Unavailable
from candor.v1 import explanation_pb2 as pb
from candor.v1 import job_pb2, model_pb2
from candor.v1.explanation_pb2_grpc import ExplanationServiceStub
from candor.v1.job_pb2_grpc import JobServiceStub
from candor.v1.model_pb2_grpc import ModelServiceStub

__all__ = ["Client"]


class Client:
    """A connection to a server, shared by any number of threads.

    Every call raises the errors of `candor.errors` with the server's message; `timeout_s` is the
    deadline that travels with it.

    with Client("127.0.0.1:8001") as client:
        answer = client.explain("photos", ["grad_cam"], images=["cat.jpg"]).of("grad_cam")
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | bool = False,
        api_key: str = "",
        attempts: int = ATTEMPTS,
    ) -> None:
        """Connect when first used.

        Args:
            target: host:port.
            tls: True, or whom to trust and who we are; False: in the clear.
            api_key: of a server that asks for one.
            attempts: how often a call is tried, 1 to 5, where the server cannot be reached, is
                stopping, or is busy; all within the call's own `timeout_s`.

        Raises:
            InvalidOption: a file of `tls` cannot be read, or another number of attempts.
        """
        self._target = target
        options, credentials = channel_options(attempts, tls), channel_credentials(tls)
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._metadata = key_metadata(api_key)
        self._explanations = ExplanationServiceStub(self._channel)
        self._jobs = JobServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; calls under way are cancelled."""
        self._channel.close()

    def wait_ready(self, timeout_s: float) -> None:
        """Return once the server takes requests.

        Raises:
            Unavailable: it does not within the time.
        """
        check: Any = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        with translating():
            try:
                # An empty request asks for the whole server; 8, 1 is `status: SERVING`.
                answer = check(b"", timeout=timeout_s, wait_for_ready=True)
            except grpc.RpcError as error:
                raise Unavailable(f"no server answers at {self._target}") from error
        if answer != b"\x08\x01":
            raise Unavailable(f"the server at {self._target} does not take requests yet")

    def models(self, *, timeout_s: float | None = None) -> tuple[ModelSummary, ...]:
        """List all models, the broken ones with the reason."""
        with translating():
            response = self._models.ListModels(
                model_pb2.ListModelsRequest(), timeout=timeout_s, metadata=self._metadata
            )
        return tuple(map(read_summary, response.models))

    def model(self, name: str, version: str = "", *, timeout_s: float | None = None) -> ModelInfo:
        """Describe one model."""
        request = model_pb2.GetModelRequest(name=name, version=version)
        with translating():
            response = self._models.GetModel(request, timeout=timeout_s, metadata=self._metadata)
        return read_model(response.model)

    def predict(
        self, model: str, *, timeout_s: float | None = None, **rows: Unpack[Rows]
    ) -> Prediction:
        """Classify rows: `images=`, `texts=` or `tensors=`."""
        request = predict_request(model, rows)
        with translating():
            response = self._explanations.Predict(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return read_prediction(response.prediction)

    def explain(
        self,
        model: str,
        methods: Methods,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Explanation:
        """Classify and explain rows.

        Args:
            model: its name.
            methods: names, or mappings from name to options:
                `["grad_cam", {"lime": {"n_samples": 300}}]`.
            on_progress: called on the way, with partial answers where the method has them.
            timeout_s: the deadline.
            **asking: the rows and how to explain them, see `Asking`.
        """
        request = explain_request(model, methods, asking)
        with translating():
            if on_progress is None:
                return read_explanation(
                    self._explanations.Explain(request, timeout=timeout_s, metadata=self._metadata)
                )
            return self._watched(request, on_progress, timeout_s)

    def estimate(
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
            response = self._explanations.Estimate(
                request, timeout=timeout_s, metadata=self._metadata
            )
        return Estimate(response.model_calls, response.milliseconds, response.bytes)

    def submit(
        self,
        model: str,
        methods: Methods,
        *,
        job_id: str = "",
        priority: int = 0,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Job:
        """Have rows explained as a job; the arguments beyond these are those of `explain`.

        Args:
            model: its name.
            methods: as of `explain`.
            job_id: of your own choice, or one that is made up. What is submitted twice under one
                id is one job, so that it may be submitted again where it is lost.
            priority: among your own jobs: 1 is the highest, 2 the usual (0).
            timeout_s: of the submission; the job has none.
            **asking: as of `explain`.
        """
        request = submit_request(model, methods, asking, job_id, priority)
        with translating():
            response = self._jobs.SubmitJob(request, timeout=timeout_s, metadata=self._metadata)
        return Job(self._jobs, self._metadata, read_status(response.job))

    def job(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """Find a job again, whoever submitted it, from wherever."""
        request = job_pb2.GetJobRequest(id=job_id, omit_answer=True)
        with translating():
            response = self._jobs.GetJob(request, timeout=timeout_s, metadata=self._metadata)
        return Job(self._jobs, self._metadata, read_status(response.job))

    def jobs(self, limit: int = 100, *, timeout_s: float | None = None) -> tuple[Job, ...]:
        """The newest jobs."""
        request = job_pb2.ListJobsRequest(limit=limit)
        with translating():
            response = self._jobs.ListJobs(request, timeout=timeout_s, metadata=self._metadata)
        return tuple(Job(self._jobs, self._metadata, read_status(job)) for job in response.jobs)

    def _watched(
        self,
        request: pb.ExplainRequest,
        on_progress: Callable[[Progress], None],
        timeout_s: float | None,
    ) -> Explanation:
        stream = pb.ExplainStreamRequest(explain=request)
        call = self._explanations.ExplainStream(stream, timeout=timeout_s, metadata=self._metadata)
        try:
            for event in call:
                if event.WhichOneof("event") == "result":
                    return read_explanation(event.result)
                on_progress(read_progress(event.progress))
        finally:
            call.cancel()
        raise InternalError("the stream ended without a result")
