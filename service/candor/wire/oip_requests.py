"""A ModelInferRequest to what the engine is asked.

Tensors named after the model's inputs are the payload; where the manifest prepares pictures or
texts, a BYTES tensor in an input's place holds those. `candor.target` and `candor.lime.segments`
are inputs of ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from candor.engine.deadline import Deadline
from candor.engine.extent import check_extent
from candor.engine.request import ExplainRequest, PredictRequest, TargetSpec
from candor.engine.share import DEFAULT_PRIORITY, Share
from candor.errors import InvalidInput, InvalidOption
from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.result import Array, Images, Payload, Tensors, Texts
from candor.runtime.inputs import ImageInput, TokensInput
from candor.runtime.model import Model
from candor.wire.oip_parameters import PREFIX, Question, Scalars, read_question, scalars
from candor.wire.oip_tensors import read_inputs
from candor.wire.responses import check_outputs

__all__ = ["SEGMENTS", "Asked", "prioritised", "read_request", "tightened"]

SEGMENTS = "candor.lime.segments"
_TARGET = "candor.target"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read.

    Attributes:
        request: for the engine; which of its two calls is told by the type.
        outputs: asked for by name, in order, with the k of `classification` (0: none); () is all.
        several: whether the answer has an axis for the targets, after the rows.
    """

    request: PredictRequest | ExplainRequest
    outputs: Mapping[str, int]
    several: bool = False


def read_request(request: pb.ModelInferRequest, model: Model, parameters: Scalars) -> Asked:
    """Read a request to one model.

    Args:
        request: as it came.
        model: that it names.
        parameters: of the request, as plain values.

    Raises:
        InvalidInput: a malformed tensor, or an output that does not exist.
        InvalidOption: a `candor.*` parameter that is unknown or out of range.
    """
    outputs = _outputs(request)
    question = read_question(parameters, _methods_of(outputs, model))
    known = [output.name for output in model.outputs]
    check_outputs([name for name in outputs if not name.startswith(PREFIX)], known)
    tensors = read_inputs(request)
    ours = {name: tensors.pop(name) for name in list(tensors) if name.startswith(PREFIX)}
    payload = _payload(tensors, model)
    if question is None:
        if ours:
            raise InvalidInput(
                f"input '{next(iter(ours))}' is given, but no explanation is asked for; "
                f"set 'candor.explain' to one or more of {', '.join(METHODS)}"
            )
        names = tuple(outputs)
        plain = PredictRequest(model.id.name, payload, request.model_version, names)
        return Asked(plain, outputs)
    return _explain(request, payload, question, ours, outputs)


def tightened(deadline: Deadline, parameters: Scalars) -> Deadline:
    """The earlier of the caller's deadline and the protocol's `timeout` in microseconds.

    Raises:
        InvalidOption: a timeout that is no positive integer.
    """
    timeout = parameters.get("timeout")
    if timeout is None:
        return deadline
    text = str(timeout)
    if isinstance(timeout, bool) or not text.isdecimal() or not 0 < int(text) < 2**63:
        raise InvalidOption(f"timeout is {timeout!r}; expected microseconds, 1 or more")
    seconds, remaining = int(text) / 1e6, deadline.remaining_s()
    return Deadline.after(seconds if remaining is None else min(seconds, remaining))


def prioritised(peer: Share, parameters: Scalars) -> Share:
    """The caller's share with the protocol's `priority`: 1 is the highest, 0 is none.

    Raises:
        InvalidOption: a priority that is no whole number.
    """
    if "priority" not in parameters:
        return peer
    priority = parameters["priority"]
    text = str(priority)
    if isinstance(priority, bool) or not text.isdecimal() or not int(text) < 2**64:
        raise InvalidOption(f"priority is {priority!r}; expected 1 (the highest) or more, or 0")
    return replace(peer, priority=int(text) or DEFAULT_PRIORITY)


def _outputs(request: pb.ModelInferRequest) -> dict[str, int]:
    outputs: dict[str, int] = {}
    for output in request.outputs:
        if output.name in outputs:
            raise InvalidInput(f"output '{output.name}' is asked for twice")
        parameters = scalars(output.parameters)
        if any(key.startswith("shared_memory_") for key in parameters):
            raise InvalidInput(
                f"output '{output.name}' is to lie in shared memory, which candor does not serve"
            )
        k = parameters.get("classification", 0)
        if "classification" in parameters and (not isinstance(k, int) or k < 1):
            raise InvalidInput(
                f"classification of output '{output.name}' is {k!r}; expected 1 or more"
            )
        outputs[output.name] = int(k)
    return outputs


def _methods_of(outputs: Mapping[str, int], model: Model) -> list[str]:
    """Methods whose outputs are asked for by name.

    Raises:
        InvalidInput: the map of a method, where there is one for each of several inputs.
    """
    asked = [name.removeprefix(PREFIX) for name in outputs if name.startswith(PREFIX)]
    inputs = model.explained_inputs
    if len(inputs) <= 1:
        return ["lime" if name == SEGMENTS.removeprefix(PREFIX) else name for name in asked]
    for name in asked:
        if name in METHODS:
            each = ", ".join(f"{PREFIX}{name}.{own}" for own in inputs)
            raise InvalidInput(
                f"output '{PREFIX}{name}' would be of several inputs; expected one or more of "
                f"{each}"
            )
    return [_without_input(name, inputs) for name in asked]


def _without_input(name: str, inputs: Sequence[str]) -> str:
    method, _, own = name.partition(".")
    if method == "lime":
        own = own.removesuffix(".segments")
    return method if own in inputs else name


def _payload(tensors: Mapping[str, Array], model: Model) -> Payload:
    prepared = model.manifest.input
    if len(tensors) == 1 and isinstance(prepared, ImageInput | TokensInput):
        (name, tensor), spec = next(iter(tensors.items())), model.inputs[0]
        if tensor.dtype.kind == "O" and spec.datatype != "BYTES":
            rows = _elements(name, tensor)
            return Images(rows) if isinstance(prepared, ImageInput) else _texts(name, rows)
    return Tensors(tensors)


def _elements(name: str, tensor: Array) -> tuple[bytes, ...]:
    if tensor.ndim == 0 or tensor.size != tensor.shape[0]:
        raise InvalidInput(
            f"input '{name}' is BYTES of shape {list(tensor.shape)}; pictures and texts are one "
            "element a row: [n] or [n, 1]"
        )
    return tuple(tensor.reshape(-1))


def _texts(name: str, rows: tuple[bytes, ...]) -> Texts:
    texts = []
    for row, text in enumerate(rows):
        try:
            texts.append(text.decode())
        except UnicodeDecodeError as error:
            raise InvalidInput(f"input '{name}': row {row} is not UTF-8: {error}") from error
    return Texts(tuple(texts))


def _explain(
    message: pb.ModelInferRequest,
    payload: Payload,
    question: Question,
    ours: Mapping[str, Array],
    outputs: Mapping[str, int],
) -> Asked:
    for name in ours:
        if name not in (_TARGET, SEGMENTS):
            raise InvalidInput(
                f"there is no input '{name}'; of ours there are {_TARGET}, {SEGMENTS}"
            )
    if SEGMENTS in ours and "lime" not in question.methods:
        raise InvalidInput(f"input '{SEGMENTS}' is given, but lime is not asked for")
    targets: tuple[tuple[TargetSpec, ...], ...] = (question.targets,) if question.targets else ()
    several = question.several
    if _TARGET in ours:
        if targets:
            raise InvalidOption(f"targets are given as parameter and as input '{_TARGET}'")
        rows = _target_rows(ours[_TARGET])
        check_extent(len(question.methods), list(map(len, rows)))
        targets = tuple(tuple(map(TargetSpec, row)) for row in rows)
        several = ours[_TARGET].ndim == 2
    request = ExplainRequest(
        model=message.model_name,
        payload=payload,
        methods=tuple(question.methods.values()),
        version=message.model_version,
        targets=targets,
        explained=question.explained,
        output=question.output,
        cache=question.cache,
        budget_s=question.budget_s,
        segments=ours.get(SEGMENTS),
        trust=question.trust,
        condition=question.condition,
    )
    return Asked(request, outputs, several)


def _target_rows(tensor: Array) -> list[list[int]]:
    if tensor.dtype.kind not in "iu" or tensor.ndim not in (1, 2):
        raise InvalidInput(
            f"input '{_TARGET}' is {tensor.dtype} {list(tensor.shape)}; expected INT64 [n], or "
            "[n, t] for several targets a row"
        )
    rows: list[list[int]] = tensor.reshape(len(tensor), -1).tolist()
    return rows
