"""What a traced request leaves behind on its way: steps in slots, and the runs inside them.

Nothing here knows how traces are exported (`candor.tracing` does). Where they are off nothing is
kept: `current()` is None then, and that is all that is asked. The instants are those of metrics and
trailing metadata, on `time.monotonic`, which on Linux is `time.perf_counter` too.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

__all__ = ["Ended", "Run", "Step", "Trace", "Tracer", "current", "enter", "ran", "stepping"]

MAX_STEPS: Final = 200
"""Of one request; a LIME has one each 20 ms, and a trace of thousands tells nobody anything."""
_MAX_RUNS: Final = 50
"""Of one step."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program by ONNX Runtime."""

    program: str
    rows: int
    began_s: float
    ended_s: float


@dataclass(slots=True, eq=False)
class Step:
    """One stay in a slot, of one request or of those that shared it.

    Attributes:
        kind: `batch` of interactive work, or `slice` of a long explanation.
        traces: of all whose step it is, as far as they are traced; it is told by the first of them.
        queued_s: since when each of them had waited; None where it had been in a slot before.
        failed: how it failed; "" where it did not.
    """

    kind: str
    model: str
    traces: tuple["Trace", ...]
    queued_s: tuple[float | None, ...]
    requests: int
    began_s: float
    ended_s: float = 0.0
    failed: str = ""
    runs: list[Run] = field(default_factory=list)
    dropped_runs: int = 0


@dataclass(slots=True, eq=False)
class Trace:
    """One traced request.

    Attributes:
        span: of the whole, in the words of whoever exports it.
        steps: in the order in which they ended.
        dropped_steps: beyond the most that are kept.
    """

    span: Any
    steps: list[Step] = field(default_factory=list)
    dropped_steps: int = 0

    def add(self, step: Step) -> None:
        """Keep a step, from any thread."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append(step)
        else:
            self.dropped_steps += 1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended.

    Attributes:
        code: name of the gRPC status.
        began_s, handed_s, returned_s, ended_s: when it came, when the engine got it and had
            answered, when the answer was written.
        stages: seconds by stage as they followed each other, as in the trailing metadata.
        staged_s: from when they did.
        attributes: what else is known of it.
    """

    code: str
    began_s: float
    handed_s: float
    returned_s: float
    ended_s: float
    stages: Mapping[str, float]
    staged_s: float
    attributes: Mapping[str, str | int | float]


class Tracer(Protocol):
    """Begins and ends traces; called on the event loop."""

    def begin(self, rpc: str, headers: Mapping[str, Any], began_s: float) -> Trace | None:
        """A request has come: its trace, None where it is not one of those that are sampled."""
        ...

    def end(self, trace: Trace, ended: Ended) -> None:
        """It is over."""
        ...


_CURRENT: ContextVar[Trace | None] = ContextVar("candor_trace", default=None)
_SLOT = threading.local()


def current() -> Trace | None:
    """The trace of the request that this task works for."""
    return _CURRENT.get()


def enter(trace: Trace | None) -> None:
    """Let this task, and those that it starts, work for a request from now on."""
    _CURRENT.set(trace)


@contextmanager
def stepping(step: Step) -> Iterator[None]:
    """Note the runs of this thread as parts of a step; the step is kept when the block ends."""
    _SLOT.step = step
    try:
        yield
    finally:
        _SLOT.step = None
        for trace in step.traces:
            trace.add(step)


def ran(program: str, rows: int, seconds: float, ended_s: float) -> None:
    """Note a run that has just ended in this thread, where a traced request is in its slot."""
    step: Step | None = getattr(_SLOT, "step", None)
    if step is None:
        return
    if len(step.runs) < _MAX_RUNS:
        step.runs.append(Run(program, rows, ended_s - seconds, ended_s))
    else:
        step.dropped_runs += 1
