"""Traces by OpenTelemetry: what requests left behind (`candor.spans`), as spans that are exported.

The packages come with the extra `candor[traces]` and are imported here alone, when traces are on.
Where they go, what share is sampled, and how the service is called is said by the environment
variables of OpenTelemetry's own (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, ...), which
its SDK reads. The span of the request begins when it comes, so that the sampler decides then; all
others are made when it ends, of instants that were noted anyway.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from candor import __version__
from candor.errors import InvalidOption
from candor.spans import Ended, Step, Trace, current

__all__ = ["Tracing", "closing", "open_tracing"]

_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""What counts as the server's own failure, by OpenTelemetry's conventions for gRPC."""

_FLUSH_MS: Final = 3000
_EXPLAINING: Final = ("queue", "prepare", "look_up", "compute")
_SPANS: Final = {"look_up": "cache", "compute": "explain"}
"""The stages of an explanation in a row, and what those are called that are spans of their own."""


def open_tracing(exporter: Any = None) -> "Tracing":
    """Traces as the environment says.

    Args:
        exporter: of OpenTelemetry, given the spans one by one; None: OTLP over gRPC, in batches.

    Raises:
        InvalidOption: the packages are not installed.
    """
    try:
        from opentelemetry.sdk.resources import (  # noqa: PLC0415
            OTELResourceDetector,
            Resource,
        )
        from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415

        processor = (
            export.BatchSpanProcessor(_otlp())
            if exporter is None
            else export.SimpleSpanProcessor(exporter)
        )
    except ImportError as error:
        raise InvalidOption(
            f"traces is true, but {error.name} is not installed: pip install 'candor[traces]'"
        ) from error
    own = Resource({"service.name": "candor", "service.version": __version__})
    resource = own.merge(OTELResourceDetector().detect())
    # Not by the interpreter as well: `closing` has waited for as long as anybody should.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return Tracing(provider)


def _otlp() -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    return OTLPSpanExporter()


@asynccontextmanager
async def closing(tracing: "Tracing | None") -> AsyncGenerator[None, None]:
    """Send what is left when the block ends; a collector that is gone holds nobody up for long."""
    try:
        yield
    finally:
        if tracing is not None:
            ending = threading.Thread(target=tracing.close, daemon=True)
            ending.start()
            await asyncio.to_thread(ending.join, _FLUSH_MS / 1000)


class Tracing:
    """Satisfies `candor.spans.Tracer`."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("candor", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._api = trace
        # From the clock of the instants to that of the day, once: spans of a trace fit together.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def begin(self, rpc: str, headers: Mapping[str, Any], began_s: float) -> Trace | None:
        """Begin the request's own span: below the caller's, where the caller says which that is."""
        outer = current()
        context = (
            self._propagator.extract(_texts(headers))
            if outer is None
            else self._api.set_span_in_context(outer.span)
        )
        span = self._tracer.start_span(
            rpc.removeprefix("/"),
            context,
            kind=self._api.SpanKind.SERVER,
            start_time=self._ns(began_s),
        )
        return Trace(span) if span.is_recording() else None

    def end(self, trace: Trace, ended: Ended) -> None:
        """Make the spans of what was noted, and end the request's own."""
        span = trace.span
        span.set_attributes(dict(ended.attributes))
        span.set_attribute("rpc.grpc.status_code", ended.code)
        if trace.dropped_steps:
            span.set_attribute("candor.dropped_steps", trace.dropped_steps)
        if ended.code in _ERRORS:
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, ended.code))
        computing, since_s = self._stages(span, ended)
        for step in tuple(trace.steps):
            # The plan of an explanation is made in a slot too, before its computing begins.
            parent = computing if step.began_s >= since_s else span
            self._queue(parent, trace, step)
            if step.traces[0] is trace:
                self._step(parent, step)
        span.end(self._ns(ended.ended_s))

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    def _stages(self, span: Any, ended: Ended) -> tuple[Any, float]:
        """The stages one after the other; the span that work in slots belongs to, and from when."""
        if ended.handed_s:
            self._child(span, "read", ended.began_s, ended.handed_s)
        if not ended.returned_s:
            return span, 0.0
        self._child(span, "write", ended.returned_s, ended.ended_s)
        at_s, computing, since_s = ended.staged_s, span, 0.0
        for stage in _EXPLAINING if "look_up" in ended.stages else ():
            seconds = ended.stages.get(stage, 0.0)
            if stage in _SPANS:
                computing, since_s = self._child(span, _SPANS[stage], at_s, at_s + seconds), at_s
            at_s += seconds
        return computing, since_s

    def _queue(self, parent: Any, trace: Trace, step: Step) -> None:
        for mine, queued_s in zip(step.traces, step.queued_s, strict=True):
            if mine is trace and queued_s is not None:
                self._child(parent, "queue", queued_s, step.began_s)

    def _step(self, parent: Any, step: Step) -> None:
        links = [self._api.Link(trace.span.get_span_context()) for trace in step.traces]
        attributes = {"candor.model": step.model, "candor.requests": step.requests}
        span = self._open(parent, step.kind, step.began_s, links if step.requests > 1 else ())
        span.set_attributes(attributes)
        if step.failed:
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, step.failed))
        if step.dropped_runs:
            span.set_attribute("candor.dropped_runs", step.dropped_runs)
        for run in step.runs:
            ran = self._open(span, f"program {run.program}", run.began_s)
            ran.set_attributes({"candor.program": run.program, "candor.rows": run.rows})
            ran.end(self._ns(run.ended_s))
        span.end(self._ns(step.ended_s))

    def _child(self, parent: Any, name: str, began_s: float, ended_s: float) -> Any:
        span = self._open(parent, name, began_s)
        span.end(self._ns(max(began_s, ended_s)))
        return span

    def _open(self, parent: Any, name: str, began_s: float, links: Sequence[Any] = ()) -> Any:
        context = self._api.set_span_in_context(parent)
        return self._tracer.start_span(name, context, links=links, start_time=self._ns(began_s))

    def _ns(self, instant_s: float) -> int:
        return self._epoch_ns + int(instant_s * 1e9)


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    names: tuple[str, ...] = ("traceparent", "tracestate")
    return {name: headers[name] for name in names if isinstance(headers.get(name), str)}
