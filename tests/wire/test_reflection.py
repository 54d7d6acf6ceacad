"""A client that has no proto file at all lists everything and calls it."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVED = {
    "inference.GRPCInferenceService",
    "candor.v1.ExplanationService",
    "candor.v1.JobService",
    "candor.v1.ModelService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture(scope="module")
def database(oip):
    return ProtoReflectionDescriptorDatabase(oip.channel)


@pytest.fixture(scope="module")
def pool(database):
    return DescriptorPool(database)


def call(oip, pool, service, method, **fields):
    descriptor = pool.FindServiceByName(service).FindMethodByName(method)
    stub = oip.channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(descriptor.output_type).FromString,
    )
    return stub(GetMessageClass(descriptor.input_type)(**fields))


def test_every_service_is_listed(database):
    assert set(database.get_services()) == SERVED


@pytest.mark.parametrize("service", sorted(SERVED))
def test_every_service_is_described_with_all_messages(pool, service):
    for method in pool.FindServiceByName(service).methods:
        assert GetMessageClass(method.input_type)() is not None
        assert GetMessageClass(method.output_type)() is not None


def test_the_open_inference_protocol_is_described_and_called_by_its_public_name(oip, pool):
    metadata = call(oip, pool, "inference.GRPCInferenceService", "ModelMetadata", name="photos")
    assert metadata.DESCRIPTOR.full_name == "inference.ModelMetadataResponse"
    assert metadata.inputs[0].name == "image"


def test_candors_own_service_is_called(oip, pool):
    found = call(oip, pool, "candor.v1.ModelService", "GetModel", name="photos")
    assert found.model.id.name == "photos"
    with pytest.raises(grpc.RpcError):
        call(oip, pool, "candor.v1.ModelService", "GetModel", name="fotos")


def test_both_versions_of_reflection_answer(oip):
    request = pb.ServerReflectionRequest(list_services="")
    for version in ("v1", "v1alpha"):
        stream = oip.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )
        (answer,) = stream(iter([request]))
        names = {service.name for service in answer.list_services_response.service}
        assert names == SERVED


def test_what_is_not_served_of_the_protocol_is_said_to_be_so(server):
    with grpc.insecure_channel(server.grpc_target) as channel:
        for method in ("SystemSharedMemoryStatus", "TraceSetting", "Nonsense"):
            asked = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            with pytest.raises(grpc.RpcError) as caught:
                asked(b"", timeout=120)
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
            assert f"does not serve /inference.GRPCInferenceService/{method}" in str(caught.value)
