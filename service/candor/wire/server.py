"""The gRPC server: every service over one engine, on one port."""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from candor.inference.v2 import grpc_service_pb2
from candor.v1 import explanation_pb2, job_pb2, model_pb2
from candor.wire import health, oip
from candor.wire.call import Frame
from candor.wire.calls import Unserved, service_handler
from candor.wire.gate import Gate
from candor.wire.oip_stream import StreamInfer
from candor.wire.reflection import reflection_handlers
from candor.wire.services import Services

__all__ = ["Connections", "GrpcServer", "start_grpc", "start_health"]

_EXPLANATIONS = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
_JOBS = job_pb2.DESCRIPTOR.services_by_name["JobService"]
_MODELS = model_pb2.DESCRIPTOR.services_by_name["ModelService"]
_INFERENCE = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
_NAMES = (oip.SERVICE, _EXPLANATIONS.full_name, _JOBS.full_name, _MODELS.full_name)

_NO_MORE: Final = (
    "of the protocol's extensions it has neither shared memory nor trace and log settings: send "
    "tensors in the request, and set the log when the server starts"
)

# Until clients know that they are to go elsewhere: who is refused then does not come back here.
_GO_AWAY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Connections:
    """How long connections last; 0 is no bound.

    Attributes:
        keepalive_s: a quiet client is asked so often whether it lives, and has as long to answer.
        age_s: then it is told to connect anew, and finds servers that came since.
        grace_s: what calls under way then have to end.
    """

    keepalive_s: float = 0.0
    age_s: float = 0.0
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GrpcServer:
    """A server that listens.

    Attributes:
        address: host and port; the port that was bound where 0 was asked for.
        gate: that its calls come through.
    """

    address: str
    server: grpc.aio.Server
    gate: Gate

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls and let those in flight end within the grace."""
        await self.gate.shut()
        stopping = asyncio.create_task(self.server.stop(grace_s))
        await asyncio.sleep(_GO_AWAY_S if self.gate.n_held else 0)
        self.gate.refuse()
        await stopping


async def start_grpc(
    address: str,
    services: Services,
    credentials: grpc.ServerCredentials | None = None,
    *,
    reflects: bool = True,
    connections: Connections = Connections(),
) -> GrpcServer:
    """Bind and serve everything.

    Args:
        address: host:port.
        services: what is served.
        credentials: for TLS; None is in the clear.
        reflects: whether reflection is served too.
        connections: how long they last.

    Raises:
        OSError: the address cannot be bound.
    """
    frame, inference = services.frame, services.inference
    stream = StreamInfer(inference.infer, services.readiness, frame)
    handlers = (
        (oip.SERVICE, _INFERENCE, {**inference.routes(), "ModelStreamInfer": stream.serve}),
        (_EXPLANATIONS.full_name, _EXPLANATIONS, services.explanations.routes()),
        (_JOBS.full_name, _JOBS, services.desk.routes()),
        (_MODELS.full_name, _MODELS, services.models.routes()),
    )
    return await _started(
        address,
        frame,
        [
            *(service_handler(name, service, routes, frame) for name, service, routes in handlers),
            _health_handler(services),
            Unserved(oip.SERVICE, _NO_MORE),
            *(reflection_handlers([*_NAMES, health.SERVICE], frame) if reflects else ()),
        ],
        credentials,
        connections,
    )


async def start_health(address: str, services: Services) -> GrpcServer:
    """Bind and serve health alone, in the clear: for probes, which have neither TLS nor key.

    Raises:
        OSError: the address cannot be bound.
    """
    return await _started(address, services.frame, [_health_handler(services)], None, Connections())


async def _started(
    address: str,
    frame: Frame,
    handlers: list[grpc.GenericRpcHandler],
    credentials: grpc.ServerCredentials | None,
    connections: Connections,
) -> GrpcServer:
    options = [*_options(frame.max_message_bytes), *_durations(connections)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(handlers)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"gRPC cannot listen at {address}: {error}") from error
    await server.start()
    host = address.rpartition(":")[0]
    return GrpcServer(f"{host}:{port}", server, frame.gate)


def _health_handler(services: Services) -> grpc.GenericRpcHandler:
    checks = health.Health(services.readiness, services.store, _NAMES)
    return service_handler(health.SERVICE, _HEALTH, checks.routes(), services.frame)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        # `calls` looks at what is sent, and says more.
        ("grpc.max_send_message_length", -1),
        # Otherwise a second server on the same port would silently take half of the connections.
        ("grpc.so_reuseport", 0),
        # Clients behind load balancers ping idle connections; by default that earns them a GOAWAY.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ]


def _durations(connections: Connections) -> list[tuple[str, int]]:
    keepalive_s, age_s, grace_s = connections.keepalive_s, connections.age_s, connections.grace_s
    bounds = {
        "grpc.keepalive_time_ms": keepalive_s,
        "grpc.keepalive_timeout_ms": keepalive_s,
        "grpc.http2.ping_timeout_ms": keepalive_s,  # a minute, whatever the other says
        "grpc.max_connection_age_ms": age_s,
        "grpc.max_connection_age_grace_ms": grace_s,
    }
    # However quiet: else gRPC asks twice and never again.
    found = [("grpc.http2.max_pings_without_data", 0)]
    return found + [(name, max(1, int(1000 * bound))) for name, bound in bounds.items() if bound]
