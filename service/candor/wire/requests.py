"""candor.v1 requests to the engine's."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from candor.engine.condition import parse_condition
from candor.engine.extent import check_extent
from candor.engine.request import CachePolicy, ExplainRequest, PredictRequest, TargetSpec
from candor.errors import InvalidInput, InvalidOption, InvalidTarget
from candor.explain.parse import parse_options
from candor.protocol.options import METHOD_NAMES, from_method
from candor.protocol.tensors import from_tensor
from candor.result import Array, Explained, Images, Payload, Tensors, Texts, TrustLevel
from candor.v1 import explanation_pb2 as pb

__all__ = ["explain_request", "predict_request"]

_EXPLAINED: Mapping[int, Explained] = MappingProxyType(
    {pb.EXPLAINED_SCORE: "score", pb.EXPLAINED_PROBABILITY: "probability"}
)
_CACHE: Mapping[int, CachePolicy] = MappingProxyType(
    {
        pb.CACHE_POLICY_UNSPECIFIED: "use",
        pb.CACHE_POLICY_USE: "use",
        pb.CACHE_POLICY_REFRESH: "refresh",
        pb.CACHE_POLICY_BYPASS: "bypass",
    }
)
_TRUST: Mapping[int, TrustLevel] = MappingProxyType(
    {pb.TRUST_UNSPECIFIED: "basic", pb.TRUST_BASIC: "basic", pb.TRUST_FULL: "full"}
)


def predict_request(request: pb.PredictRequest) -> PredictRequest:
    """Read a request for predictions.

    Raises:
        InvalidInput: no rows, or a malformed tensor.
    """
    return PredictRequest(
        model=request.model,
        payload=_payload(request.input),
        version=request.version,
        outputs=tuple(request.outputs),
        scores=True,
    )


def explain_request(request: pb.ExplainRequest) -> ExplainRequest:
    """Read a request for explanations.

    Raises:
        InvalidInput: no rows, or a malformed tensor.
        InvalidOption: no method, an option that is unknown or out of range.
        InvalidTarget: a difference without one of its classes.
        TooLarge: more answers than one request may ask for.
    """
    if not request.methods:
        names = ", ".join(METHOD_NAMES)
        raise InvalidOption(f"methods is empty; an Explain needs at least one of {names}")
    if request.explained and request.explained not in _EXPLAINED:
        raise InvalidOption(f"explained is {request.explained}; expected 1 (score) or 2")
    if request.cache not in _CACHE:
        raise InvalidOption(f"cache is {request.cache}; expected 1 (use), 2 (refresh), 3 (bypass)")
    if request.trust not in _TRUST:
        raise InvalidOption(f"trust is {request.trust}; expected 1 (basic) or 2 (full)")
    check_extent(len(request.methods), [len(row.targets) for row in request.targets])
    return ExplainRequest(
        model=request.model,
        payload=_payload(request.input),
        methods=tuple(parse_options(*from_method(method)) for method in request.methods),
        version=request.version,
        targets=tuple(tuple(map(_target, row.targets)) for row in request.targets),
        explained=_EXPLAINED.get(request.explained),
        output=request.output if request.HasField("output") else None,
        cache=_CACHE[request.cache],
        budget_s=_budget_s(request),
        segments=_segments(request),
        trust=_TRUST[request.trust],
        condition=parse_condition(request.explain_if) if request.explain_if else None,
    )


def _payload(rows: pb.Input) -> Payload:
    kind = rows.WhichOneof("rows")
    if kind is None:
        raise InvalidInput(f"input is empty; set one of {', '.join(_PAYLOADS)}")
    return _PAYLOADS[kind](rows)


def _tensors(rows: pb.Input) -> Tensors:
    named = rows.tensors.by_name
    return Tensors({name: from_tensor(named[name], f"input '{name}'") for name in named})


def _images(rows: pb.Input) -> Images:
    return Images(tuple(rows.images.images))


def _texts(rows: pb.Input) -> Texts:
    return Texts(tuple(rows.texts.texts))


_PAYLOADS: Mapping[str, Callable[[pb.Input], Payload]] = MappingProxyType(
    {"tensors": _tensors, "images": _images, "texts": _texts}
)


def _target(target: pb.Target) -> TargetSpec:
    kind = target.WhichOneof("target")
    if kind == "difference":
        plus, minus = _class(target.difference, "plus"), _class(target.difference, "minus")
        return TargetSpec(plus, minus)
    if kind is None:
        return TargetSpec()
    return TargetSpec(target.index if kind == "index" else target.label)


def _class(difference: pb.Difference, side: str) -> int | str:
    reference: pb.ClassRef = difference.plus if side == "plus" else difference.minus
    kind = reference.WhichOneof("name")
    if kind is None:
        raise InvalidTarget(f"the {side} of a difference names no class; set its index or label")
    return reference.index if kind == "index" else reference.label


def _budget_s(request: pb.ExplainRequest) -> float | None:
    if not request.HasField("budget_ms"):
        return None
    if not (math.isfinite(request.budget_ms) and request.budget_ms > 0):
        raise InvalidOption(f"budget_ms is {request.budget_ms}; expected a number above 0")
    return request.budget_ms / 1000


def _segments(request: pb.ExplainRequest) -> Array | None:
    if not request.HasField("segments"):
        return None
    segments = from_tensor(request.segments, "segments")
    if segments.dtype.kind not in "iu":
        raise InvalidInput(f"segments are {segments.dtype}; expected integers")
    return segments
