"""Raw access to a running server: messages in, messages or bytes out, no client of ours between."""

import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import grpc
import numpy as np

from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements, split_elements
from candor.runtime.specs import DTYPES, datatype_of

OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
PATIENCE_S = 120.0
_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]


class Protocol:
    """The Open Inference Protocol by its public name."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(target, options=OPTIONS)

    def close(self):
        self.channel.close()

    def raw(self, path, payload, **how):
        """Send bytes, get bytes."""
        return self.channel.unary_unary(path)(payload, **how)

    def call(self, method, request=None, **how):
        """Call a unary method of the protocol."""
        descriptor = _SERVICE.methods_by_name[method]
        request = request or getattr(pb, descriptor.input_type.name)()
        answer = self.raw(
            f"/inference.GRPCInferenceService/{method}", request.SerializeToString(), **how
        )
        return getattr(pb, descriptor.output_type.name).FromString(answer)

    def infer(self, request, **how):
        """Call ModelInfer; outputs by name as arrays, and the response."""
        response = self.call("ModelInfer", request, **how)
        return arrays(response), response


def infer_request(model, outputs=(), parameters=None, **inputs):
    """A raw ModelInferRequest; parameters by full name, `__` in the names of inputs means a dot."""
    request = pb.ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        request.inputs.add(
            name=name.replace("__", "."), datatype=datatype_of(array.dtype), shape=array.shape
        )
        text = array.dtype.kind == "O"
        request.raw_input_contents.append(
            join_elements(array.reshape(-1)) if text else array.tobytes()
        )
    for name in outputs:
        request.outputs.add(name=name)
    for name, value in (parameters or {}).items():
        kind = {bool: "bool", int: "int64", str: "string", float: "double"}[type(value)]
        setattr(request.parameters[name], f"{kind}_param", value)
    return request


def arrays(response):
    """The outputs of a response by name; fails where one is not raw."""
    assert len(response.outputs) == len(response.raw_output_contents)
    found = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        assert not output.HasField("contents")
        shape = tuple(output.shape)
        if output.datatype == "BYTES":
            found[output.name] = split_elements(raw, shape, output.name)
        else:
            found[output.name] = np.frombuffer(raw, DTYPES[output.datatype].numpy).reshape(shape)
    return found


@dataclass(frozen=True)
class Page:
    """What came over HTTP."""

    status: int
    kind: str
    text: str


def get(url, **headers):
    """Fetch a page, whatever its status."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return Page(answer.status, answer.headers["content-type"], answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.headers["content-type"], error.read().decode())


def until(holds):
    """Wait for what comes in its own time."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def counted(server, name, *labels):
    """The sum of a metric's series that have these labels."""
    lines = get(f"{server.metrics_url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.split()[-1]) for line in found if all(label in line for label in labels))


def inflight(server, work_class="bulk"):
    """Requests of a class in the house."""
    return counted(server, "candor_inflight", f'class="{work_class}"')


def text(*rows):
    """A BYTES tensor of one element a row."""
    array = np.empty(len(rows), dtype=object)
    array[:] = [row.encode() if isinstance(row, str) else row for row in rows]
    return array
