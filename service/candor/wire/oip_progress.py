"""What a stream of the Open Inference Protocol says of an explanation under way.

A message of progress has the parameters `candor.progress` (0 to 1, of the whole request),
`candor.method`, `candor.row`, `candor.target_position` (what the message is about) and
`candor.final` = false; where there is a map to show, it is the output `candor.<method>` with that
one row (of several inputs there is one for each, `candor.<method>.<input>`). The last message is
the answer, with `candor.final` = true.
"""

import numpy as np

from candor.engine.request import ExplainRequest, Report
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.result import Images, ModelId, Payload, Tensors, Texts
from candor.wire.oip_requests import Asked
from candor.wire.oip_responses import output_name
from candor.wire.oip_tensors import add_output

__all__ = ["Shares", "final_response", "progress_response"]


class Shares:
    """How far all answers of one request have come, from what is reported of each."""

    def __init__(self, request: ExplainRequest) -> None:
        n_rows = _n_rows(request.payload)
        targets = [len(row) for row in request.targets] or [1]
        n_targets = sum(targets) if len(targets) == n_rows else n_rows * targets[0]
        self._n = max(1, len(request.methods) * n_targets)
        self._done: dict[tuple[str, int, int], float] = {}

    def tell(self, report: Report) -> float:
        """Take a report in; the share of the whole that is done, below 1 until the answer."""
        place = (report.method, report.row, report.target)
        self._done[place] = max(report.progress, self._done.get(place, 0.0))
        return min(sum(self._done.values()) / self._n, 0.999)


def progress_response(
    request_id: str, model: ModelId | None, report: Report, share: float, asked: Asked
) -> pb.ModelInferResponse:
    """A message on the way."""
    response = pb.ModelInferResponse(id=request_id)
    if model is not None:
        response.model_name, response.model_version = model.name, model.version
    _mark(response, share, final=False)
    response.parameters["candor.method"].string_param = report.method
    response.parameters["candor.row"].int64_param = report.row
    response.parameters["candor.target_position"].int64_param = report.target
    for one in report.partial.maps if report.partial is not None else ():
        name = output_name(one)
        if not asked.outputs or name in asked.outputs:
            add_output(response, name, one.values.astype(np.float32)[None])
    return response


def final_response(response: pb.ModelInferResponse) -> pb.ModelInferResponse:
    """The answer, marked as the last message of its request."""
    _mark(response, 1.0, final=True)
    return response


def _mark(response: pb.ModelInferResponse, share: float, *, final: bool) -> None:
    response.parameters["candor.progress"].double_param = share
    response.parameters["candor.final"].bool_param = final
    # What clients of models that answer several times look for.
    response.parameters["triton_final_response"].bool_param = final


def _n_rows(payload: Payload) -> int:
    match payload:
        case Images():
            return len(payload.encoded)
        case Texts():
            return len(payload.texts)
        case Tensors():
            return max((len(array) for array in payload.by_name.values() if array.ndim), default=1)
