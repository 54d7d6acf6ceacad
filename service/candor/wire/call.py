"""One request under way, by whatever way it came, and the account that is kept of it.

Every front door makes a `Call`, runs the handler inside `accounted`, and turns the CandorError that
may come out into what its protocol has for errors.
"""

import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from grpc import StatusCode

from candor.engine.deadline import Deadline
from candor.engine.request import Explanation, Prediction
from candor.engine.share import NOBODY, Share
from candor.engine.statistics import Answered, Reason, Statistics
from candor.errors import CandorError, InternalError
from candor.metrics import UNKNOWN_MODEL, Metrics
from candor.result import ModelId
from candor.wire.callers import ANYONE, Caller
from candor.wire.gate import Gate
from candor.wire.keys import KeyRing
from candor.wire.status import status_of

__all__ = ["Call", "Frame", "accounted", "request_id", "server_timing"]

_LOG = logging.getLogger("candor.access")
_UNKNOWN = ModelId(UNKNOWN_MODEL, "", "")
_REASONS: Mapping[StatusCode, Reason] = MappingProxyType(
    {
        StatusCode.RESOURCE_EXHAUSTED: "REJECTED",
        StatusCode.CANCELLED: "CANCELED",
        StatusCode.INTERNAL: "BACKEND",
    }
)
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Frame:
    """What all calls share.

    Attributes:
        metrics, statistics: told of every call that is counted.
        max_message_bytes: of a request over HTTP, and of any answer.
        keys: that callers have to show; None: everybody may call.
        max_json_bytes: of what a request over HTTP has in JSON.
        gate: where calls over gRPC are held when the server stops.
    """

    metrics: Metrics
    max_message_bytes: int
    keys: KeyRing | None = None
    max_json_bytes: int = 16 * 2**20
    statistics: Statistics = field(default_factory=Statistics)
    gate: Gate = field(default_factory=Gate)


@dataclass(slots=True)
class Call:
    """One request under way.

    Attributes:
        request_id: the caller's `x-request-id`, or one of ours.
        deadline: when the caller stops waiting.
        peer: where it came from, and how urgent it is.
        caller: who made it; set before anything of it is read.
        model: the model that answers, once the handler has found it; for log and metrics.
        methods: what is counted when the call ends: `predict`, or the explanations; () is not
            counted.
        large: whether reading the request, or writing the answer, takes long enough to be done off
            the event loop; set by the frame for the one, by the handler for the other.
        began_s: when it arrived, on `time.perf_counter`.
        handed_s, returned_s: when the engine got it, and when the engine had answered.
        result: what the engine answered.
    """

    request_id: str
    deadline: Deadline
    peer: Share = NOBODY
    caller: Caller = ANYONE
    model: ModelId | None = None
    methods: tuple[str, ...] = ()
    large: bool = False
    began_s: float = field(default_factory=time.perf_counter)
    handed_s: float = 0.0
    returned_s: float = 0.0
    result: Prediction | Explanation | None = None

    def handed(self) -> None:
        """Note that the request is read, and goes to the engine now."""
        self.handed_s = time.perf_counter()

    def returned(self, result: Prediction | Explanation) -> None:
        """Note what the engine answered; what is left is writing."""
        self.returned_s = time.perf_counter()
        self.result = result

    @property
    def share(self) -> Share:
        """Whose share of the slots its work counts to: the key's, else the host's."""
        name = self.caller.name
        return replace(self.peer, caller=f"key {name}") if name else self.peer

    @property
    def timings_s(self) -> Mapping[str, float]:
        """Seconds by step, once the engine has answered."""
        if self.result is None:
            return MappingProxyType({})
        own = {
            "read": self.handed_s - self.began_s,
            "write": time.perf_counter() - self.returned_s,
        }
        return MappingProxyType({**self.result.timings_s, **own})


def server_timing(call: Call) -> str:
    """Milliseconds by step, as browsers read them; "" where the engine was not asked."""
    return ", ".join(f"{step};dur={1000 * s:.3f}" for step, s in call.timings_s.items())


def request_id(given: str | bytes | None) -> str:
    """The caller's own id where it can stand in a log, else a new one."""
    if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


@asynccontextmanager
async def accounted(call: Call, rpc: str, frame: Frame) -> AsyncGenerator[None, None]:
    """Count and log a call when the block ends, however it ends.

    Raises:
        CandorError: whatever the block raised; what was none of ours is an InternalError.
    """
    code = StatusCode.CANCELLED
    try:
        yield
        code = StatusCode.OK
    except CandorError as error:
        code = status_of(error).code
        if error.kind == "internal":
            _LOG.exception("internal error", extra={"request_id": call.request_id, "rpc": rpc})
        raise
    except Exception as error:
        code = StatusCode.INTERNAL
        _LOG.exception("internal error", extra={"request_id": call.request_id, "rpc": rpc})
        raise InternalError(str(error)) from error
    finally:
        if code is StatusCode.CANCELLED and call.deadline.expired:
            code = StatusCode.DEADLINE_EXCEEDED
        seconds = time.perf_counter() - call.began_s
        for name in call.methods:
            ready = seconds - _idle_s(call, name)
            frame.metrics.answered(call.model or _UNKNOWN, name, code.name, ready)
        if call.methods and call.model is not None:
            answered = _answered(call, seconds, code)
            frame.statistics.answered(call.model, answered)
        _log(call, rpc, code, seconds)


def _idle_s(call: Call, method: str) -> float:
    """How long the answers of one method waited for those of the others, to be sent with them."""
    result = call.result
    if not isinstance(result, Explanation) or method not in result.ready_s:
        return 0.0
    return result.timings_s["total"] - result.ready_s[method]


def _answered(call: Call, seconds: float, code: StatusCode) -> Answered:
    result, timings_s = call.result, call.timings_s
    if code is not StatusCode.OK or result is None:
        reason = _REASONS.get(code, "OTHER")
        return Answered(ok=code is StatusCode.OK, seconds=seconds, reason=reason)
    prediction = result.prediction if isinstance(result, Explanation) else result
    return Answered(
        ok=True,
        seconds=seconds,
        rows=prediction.n_rows,
        steps={
            "queue": timings_s.get("queue", 0.0),
            "compute_input": timings_s["read"] + timings_s.get("prepare", 0.0),
            "compute_infer": timings_s.get("compute", 0.0),
            "compute_output": timings_s["write"],
        },
        look_up_s=timings_s.get("look_up") if _asked_cache(result) else None,
        hit=_all_hit(result),
    )


def _asked_cache(result: Prediction | Explanation) -> bool:
    return isinstance(result, Explanation) and result.statuses != {"bypass"}


def _all_hit(result: Prediction | Explanation) -> bool:
    return isinstance(result, Explanation) and result.statuses == {"hit"}


def _log(call: Call, rpc: str, code: StatusCode, seconds: float) -> None:
    # A line of JSON costs 65 us, a fifth of what gRPC itself takes for a call: what went well is
    # counted in the metrics, and logged where the operator asks for detail.
    level = logging.DEBUG if code is StatusCode.OK or not call.methods else logging.INFO
    if _LOG.isEnabledFor(level):
        fields: dict[str, str | float] = {
            "request_id": call.request_id,
            "rpc": rpc,
            "code": code.name,
            "milliseconds": round(seconds * 1000, 3),
        }
        if call.caller.name:
            fields["caller"] = call.caller.name
        if call.methods:
            fields["method"] = ",".join(call.methods)
        if call.model is not None:
            fields |= {"model": call.model.name, "version": call.model.version}
        _LOG.log(level, "call", extra=fields)
