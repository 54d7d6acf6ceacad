"""One request under way, by whatever way it came, and the account that is kept of it.

Every front door makes a `Call`, runs the handler inside `accounted`, and turns the CandorError that
may come out into what its protocol has for errors.
"""

import logging
import re
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from grpc import StatusCode

from candor.engine.deadline import Deadline
from candor.engine.request import Explanation, Prediction
from candor.engine.share import NOBODY, Share
from candor.engine.statistics import Statistics
from candor.errors import CandorError, InternalError
from candor.metrics import UNKNOWN_MODEL, Metrics
from candor.result import ModelId
from candor.spans import Ended, Trace, Tracer, enter
from candor.wire.account import answered_of, idle_s
from candor.wire.callers import ANYONE, Caller
from candor.wire.gate import Gate
from candor.wire.keys import KeyRing
from candor.wire.status import status_of

__all__ = ["Call", "Frame", "accounted", "request_id", "server_timing"]

_LOG = logging.getLogger("candor.access")
_UNKNOWN = ModelId(UNKNOWN_MODEL, "", "")
_NO_TIMES: Mapping[str, float] = MappingProxyType({})
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
        tracer: of calls; None: there are no traces.
        slow_s: from which on a call is logged with its stages, however it ended; 0: never.
        log_share: of the calls that went well, so many are logged as well, 0 to 1.
    """

    metrics: Metrics
    max_message_bytes: int
    keys: KeyRing | None = None
    max_json_bytes: int = 16 * 2**20
    statistics: Statistics = field(default_factory=Statistics)
    gate: Gate = field(default_factory=Gate)
    tracer: Tracer | None = None
    slow_s: float = 0.0
    log_share: float = 0.0


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
        headers: in which the caller may say of which trace it is a part; read where there are
            traces.
        trace: of this call; None where it is not traced.
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
    headers: Mapping[str, Any] | None = None
    trace: Trace | None = None
    _timings_s: Mapping[str, float] | None = field(default=None, init=False)

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
        """Seconds by step, of a call that is over: when this is first asked, the answer is written.

        Empty where the engine did not answer.
        """
        if self.result is None:
            return _NO_TIMES
        if self._timings_s is None:
            written_s = time.perf_counter()
            self._timings_s = {
                **self.result.timings_s,
                "read": self.handed_s - self.began_s,
                "write": written_s - self.returned_s,
            }
        return self._timings_s


def server_timing(call: Call) -> str:
    """Milliseconds by step, as browsers read them; "" where the engine was not asked."""
    return ", ".join([f"{step};dur={1000 * s:.3f}" for step, s in call.timings_s.items()])


def request_id(given: str | bytes | None) -> str:
    """The caller's own id where it can stand in a log, else a new one."""
    if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


@contextmanager
def accounted(call: Call, rpc: str, frame: Frame) -> Iterator[None]:
    """Count and log a call when the block ends, however it ends.

    Raises:
        CandorError: whatever the block raised; what was none of ours is an InternalError.
    """
    code = StatusCode.CANCELLED
    _begin_trace(call, rpc, frame)
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
            ready = seconds - idle_s(call.result, name)
            frame.metrics.answered(call.model or _UNKNOWN, name, code.name, ready)
        if call.methods and call.model is not None:
            answered = answered_of(call.result, call.timings_s, code, seconds)
            frame.statistics.answered(call.model, answered)
        _end_trace(call, code, seconds, frame)
        _log(call, rpc, code, seconds, frame)


def _begin_trace(call: Call, rpc: str, frame: Frame) -> None:
    if frame.tracer is not None:
        call.trace = frame.tracer.begin(rpc, call.headers or {}, call.began_s)
        enter(call.trace)


def _end_trace(call: Call, code: StatusCode, seconds: float, frame: Frame) -> None:
    if frame.tracer is None or call.trace is None:
        return
    attributes: dict[str, str | int | float] = {"candor.request_id": call.request_id}
    if call.methods:
        attributes["candor.methods"] = ",".join(call.methods)
    if call.model is not None:
        attributes |= {"candor.model": call.model.name, "candor.version": call.model.version}
    staged_s = call.handed_s
    if isinstance(call.result, Explanation):
        attributes["candor.cache"] = ",".join(sorted(call.result.statuses))
        # An answer that was written before has the instant of that.
        staged_s = max(staged_s, call.result.began_s)
    instants = (call.began_s, call.handed_s, call.returned_s, call.began_s + seconds)
    frame.tracer.end(call.trace, Ended(code.name, *instants, call.timings_s, staged_s, attributes))


def _log(call: Call, rpc: str, code: StatusCode, seconds: float, frame: Frame) -> None:
    # A line of JSON costs 65 us, a fifth of what gRPC itself takes for a call: what went well is
    # counted in the metrics, and logged where the operator asks for detail, or for a share of it.
    slow = 0 < frame.slow_s <= seconds and bool(call.methods)
    told = code is not StatusCode.OK or _falls_into(frame.log_share, call.request_id)
    level = logging.INFO if slow or (told and call.methods) else logging.DEBUG
    if not _LOG.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
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
    if slow:
        stages = call.timings_s.items()
        fields["stages_ms"] = {stage: round(1000 * s, 3) for stage, s in stages}
    _LOG.log(logging.WARNING if slow else level, "slow call" if slow else "call", extra=fields)


def _falls_into(share: float, request: str) -> bool:
    """Whether a request is one of a share of all: the same in every replica, by its id."""
    return share > 0 and zlib.crc32(request.encode()) < share * 2**32
