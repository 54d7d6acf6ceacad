"""The gRPC server: every service over one engine, on one port."""

from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from candor.inference.v2 import grpc_service_pb2
from candor.v1 import explanation_pb2, model_pb2
from candor.wire import health, oip
from candor.wire.calls import service_handler
from candor.wire.oip_stream import StreamInfer
from candor.wire.reflection import reflection_handlers
from candor.wire.services import Services

__all__ = ["GrpcServer", "start_grpc"]

_EXPLANATIONS = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
_MODELS = model_pb2.DESCRIPTOR.services_by_name["ModelService"]
_INFERENCE = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


@dataclass(frozen=True, slots=True)
class GrpcServer:
    """A server that listens.

    Attributes:
        address: host and port; the port that was bound where 0 was asked for.
    """

    address: str
    server: grpc.aio.Server

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls at once and let those in flight end within the grace."""
        await self.server.stop(grace_s)


async def start_grpc(address: str, services: Services) -> GrpcServer:
    """Bind and serve.

    Raises:
        OSError: the address cannot be bound.
    """
    frame, inference = services.frame, services.inference
    server = grpc.aio.server(options=_options(frame.max_message_bytes))
    names = (oip.SERVICE, _EXPLANATIONS.full_name, _MODELS.full_name)
    checks = health.Health(services.readiness, services.store, names)
    stream = StreamInfer(inference.infer, services.readiness, frame)
    handlers = (
        (oip.SERVICE, _INFERENCE, {**inference.routes(), "ModelStreamInfer": stream.serve}),
        (_EXPLANATIONS.full_name, _EXPLANATIONS, services.explanations.routes()),
        (_MODELS.full_name, _MODELS, services.models.routes()),
        (health.SERVICE, _HEALTH, checks.routes()),
    )
    server.add_generic_rpc_handlers(
        [
            *(service_handler(name, service, routes, frame) for name, service, routes in handlers),
            *reflection_handlers([*names, health.SERVICE]),
        ]
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"gRPC cannot listen at {address}: {error}") from error
    await server.start()
    host = address.rpartition(":")[0]
    return GrpcServer(f"{host}:{port}", server)


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
