"""What every measurement gives: lines of a table, each with its bar."""

from typing import NamedTuple

import numpy as np

from candor.client.asking import explain_request, predict_request
from candor.inference.v2 import grpc_service_pb2 as oip
from candor.result import Array

__all__ = ["Row", "explanations", "inferences", "predictions", "spread", "unique"]

INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/candor.v1.ExplanationService/Predict"
EXPLAIN = "/candor.v1.ExplanationService/Explain"


class Row(NamedTuple):
    """A line: what, our figure and what it is compared with, both as text, and the bar."""

    what: str
    ours: str
    against: str
    compared: str
    bar: str


def unique(shape: tuple[int, ...], count: int) -> list[Array]:
    """Different tensors."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for _ in range(count)]


def predictions(model: str, name: str, tensors: list[Array]) -> list[bytes]:
    """Requests for predictions, serialized."""
    return [predict_request(model, {"tensors": {name: x}}).SerializeToString() for x in tensors]


def inferences(model: str, name: str, tensors: list[Array]) -> list[bytes]:
    """The same over the Open Inference Protocol, tensors raw."""
    requests = []
    for tensor in tensors:
        request = oip.ModelInferRequest(model_name=model)
        request.inputs.add(name=name, datatype="FP32", shape=tensor.shape)
        request.raw_input_contents.append(tensor.tobytes())
        requests.append(request.SerializeToString())
    return requests


def explanations(model: str, method: str, name: str, tensors: list[Array]) -> list[bytes]:
    """Requests for explanations, serialized."""
    asked = [explain_request(model, method, {"tensors": {name: x}}) for x in tensors]
    return [request.SerializeToString() for request in asked]


def spread(values: list[float], digits: int = 2) -> str:
    """Median, and half the distance between the quartiles."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return f"{median:.{digits}f} ±{(high - low) / 2:.{digits}f}"
