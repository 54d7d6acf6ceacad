"""The first thing that happens to a call: who makes it, and whether that is one too many.

What is refused here is counted under the method `(refused)`, by its code; nothing of it was read.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from candor.errors import CandorError
from candor.metrics import UNKNOWN_MODEL
from candor.result import ModelId
from candor.wire.call import Call, Frame
from candor.wire.status import status_of

__all__ = ["admitted", "identify"]

_UNKNOWN: Final = ModelId(UNKNOWN_MODEL, "", "")
_REFUSED: Final = "(refused)"

# Probes have no keys, and learn nothing that is worth one.
_OPEN: Final = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "GET /v2/health/live",
        "GET /v2/health/ready",
    }
)


def identify(call: Call, rpc: str, authorization: str | None, frame: Frame) -> None:
    """Find out who makes a call.

    Args:
        call: gets its caller.
        rpc: what is called.
        authorization: the header.
        frame: whose keys they are.

    Raises:
        Unauthenticated: the server asks for a key, and this is none.
    """
    if frame.keys is None or rpc in _OPEN:
        return
    with _counted(call, frame):
        call.caller = frame.keys.caller(authorization)


@contextmanager
def admitted(call: Call, frame: Frame) -> Iterator[None]:
    """Have a call under way while the block runs.

    Raises:
        Overloaded: its caller has too many under way, or makes them too fast.
    """
    allowance = call.caller.allowance
    if allowance is None:
        yield
        return
    with _counted(call, frame):
        allowance.enter(call.caller.name)
    try:
        yield
    finally:
        allowance.leave()


@contextmanager
def _counted(call: Call, frame: Frame) -> Iterator[None]:
    try:
        yield
    except CandorError as error:
        code, seconds = status_of(error).code.name, time.perf_counter() - call.began_s
        frame.metrics.answered(_UNKNOWN, _REFUSED, code, seconds)
        raise
