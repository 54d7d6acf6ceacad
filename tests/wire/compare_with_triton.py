"""Compare our messages with tritonclient's, both in this one process; prints how many fields.

Run by `test_generated` in a process of its own: tritonclient registers the package `inference`.
"""

import sys

from google.protobuf import descriptor_pool
from tritonclient.grpc import service_pb2

from candor.inference.v2 import grpc_service_pb2 as ours

POOL = descriptor_pool.Default()

# Triton's are empty; KServe's client reads a name and a flag, which Triton's passes over.
KSERVES = {f"inference.RepositoryModel{verb}Response" for verb in ("Load", "Unload")}


def public(name):
    """The public name of one of our messages."""
    return name.replace("candor.inference.v2.", "inference.")


def described(field):
    """What a field is on the wire and in code."""
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else ""
    name = public(kind.full_name) if kind else ""
    return field.name, field.number, field.type, field.is_repeated, oneof, name


def compare(message):
    """Compare a message and those within it; how many fields there were."""
    theirs = POOL.FindMessageTypeByName(public(message.full_name))
    numbers = {field.number: field for field in theirs.fields}
    fields = [field for field in message.fields if public(message.full_name) not in KSERVES]
    for field in fields:
        assert described(field) == described(numbers[field.number]), field.full_name
    return len(fields) + sum(map(compare, message.nested_types))


def compare_method(method):
    """Compare a method's messages and direction."""
    service = service_pb2.DESCRIPTOR.services_by_name[method.containing_service.name]
    theirs = service.methods_by_name[method.name]
    assert method.input_type.name == theirs.input_type.name
    assert method.output_type.name == theirs.output_type.name
    assert method.client_streaming == theirs.client_streaming
    assert method.server_streaming == theirs.server_streaming


for enum in ours.DESCRIPTOR.enum_types_by_name.values():
    triton = POOL.FindEnumTypeByName(public(enum.full_name))
    assert {v.name: v.number for v in enum.values} == {v.name: v.number for v in triton.values}
for each in ours.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
    compare_method(each)
sys.stdout.write(str(sum(map(compare, ours.DESCRIPTOR.message_types_by_name.values()))))
