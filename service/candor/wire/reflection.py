"""Server reflection, so that a client that has no proto file can list and call everything.

The descriptors live in a pool of their own, where the Open Inference Protocol has its public name;
in the process's default pool it is registered under another (see protos/inference).
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection,
    reflection_pb2,
)

from candor.engine.deadline import Deadline
from candor.errors import CandorError
from candor.inference.v2 import grpc_service_pb2
from candor.v1 import explanation_pb2, job_pb2, model_pb2
from candor.wire.admission import identify
from candor.wire.call import Call, Frame, request_id
from candor.wire.calls import Context, refuse

__all__ = ["public_pool", "reflection_handlers"]

_NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

# File, its public path, its package here and in public.
_RENAMED = (
    (grpc_service_pb2, "inference/grpc_service.proto", "candor.inference.v2", "inference"),
    (
        reflection_pb2,
        "grpc/reflection/v1/reflection.proto",
        "grpc.reflection.v1alpha",
        "grpc.reflection.v1",
    ),
)


def reflection_handlers(services: Iterable[str], frame: Frame) -> list[grpc.GenericRpcHandler]:
    """Serve reflection in both of its versions, which differ in name only."""
    servicer = reflection.aio.ReflectionServicer([*services, *_NAMES], pool=public_pool())

    async def answer(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        headers: dict[str, Any] = dict(context.invocation_metadata() or ())
        call = Call(request_id(headers.get("x-request-id")), Deadline())
        try:
            identify(call, _NAMES[0], headers.get("authorization"), frame)
        except CandorError as error:
            await refuse(error, call.request_id, context)
        async for found in servicer.ServerReflectionInfo(requests, context):
            yield found

    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        for name in _NAMES
    ]


def public_pool() -> DescriptorPool:
    """Collect the descriptors of everything that is served, under public names."""
    pool = DescriptorPool()
    added: set[str] = set()
    modules = (explanation_pb2, job_pb2, model_pb2, health_pb2, reflection_pb2)
    for module in modules:
        for file in _with_dependencies(module.DESCRIPTOR, added):
            pool.AddSerializedFile(file.serialized_pb)
    for module, path, old, new in _RENAMED:
        file_proto = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        _rename(file_proto, old, new)
        file_proto.name = path
        pool.AddSerializedFile(file_proto.SerializeToString())
    return pool


def _with_dependencies(file: FileDescriptor, added: set[str]) -> Iterator[FileDescriptor]:
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency, added)
    yield file


def _rename(file: FileDescriptorProto, old: str, new: str) -> None:
    file.package = new
    for message in file.message_type:
        _rename_fields(message, f".{old}.", f".{new}.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{old}.", f".{new}.", 1)
            method.output_type = method.output_type.replace(f".{old}.", f".{new}.", 1)


def _rename_fields(message: DescriptorProto, old: str, new: str) -> None:
    for field in message.field:
        # Numbers have none, and must not be given an empty one.
        if field.HasField("type_name"):
            field.type_name = field.type_name.replace(old, new, 1)
    for nested in message.nested_type:
        _rename_fields(nested, old, new)
