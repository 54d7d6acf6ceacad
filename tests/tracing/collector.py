"""A collector of traces that keeps what it is sent: OTLP over gRPC, as the protocol says."""

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector(rpc.TraceServiceServicer):
    """Spans as they came, and of what they say they come from."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    _more: threading.Condition = field(default_factory=threading.Condition)

    def Export(self, request, context):  # noqa: N802 - the protocol's name
        with self._more:
            for of in request.resource_spans:
                self.resources.append({a.key: a.value.string_value for a in of.resource.attributes})
                self.spans += [span for scope in of.scope_spans for span in scope.spans]
            self._more.notify_all()
        return pb.ExportTraceServiceResponse()

    def trace(self, trace_id: str, within_s: float = 120.0) -> list[Span]:
        """The spans of one trace, once its outermost one has come: it is sent last."""
        ends = time.monotonic() + within_s
        with self._more:
            while True:
                found = [span for span in self.spans if span.trace_id.hex() == trace_id]
                if any(span.kind == Span.SPAN_KIND_SERVER for span in found):
                    return found
                assert time.monotonic() < ends, f"no trace {trace_id} in {len(self.spans)} spans"
                self._more.wait(0.2)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    rpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
