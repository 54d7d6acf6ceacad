"""How often each version of each model answered, and how long each step took, since it was loaded.

The counts are those of the Open Inference Protocol's statistics: a *request* succeeds or fails, its
rows are *inferences*, and a run of any of the model's programs is an *execution*. What the cache
answered is a hit, and neither an inference nor an execution.
"""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Literal

from candor.result import ModelId

__all__ = [
    "REASONS",
    "STEPS",
    "Answered",
    "Duration",
    "ModelStatistics",
    "Reason",
    "Statistics",
    "Step",
]

Step = Literal["queue", "compute_input", "compute_infer", "compute_output"]
STEPS: Final[tuple[Step, ...]] = ("queue", "compute_input", "compute_infer", "compute_output")

Reason = Literal["REJECTED", "CANCELED", "BACKEND", "OTHER"]
REASONS: Final[tuple[Reason, ...]] = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
"""Why requests fail, in Triton's words: no room, nobody waits, a defect, anything else."""

_MAX_SIZES: Final = 256
"""Different batch sizes that are told apart; callers choose them, and memory is bounded."""


@dataclass(slots=True)
class Duration:
    """How often something happened, and for how many nanoseconds in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Once more."""
        self.count += 1
        self.ns += max(0, int(seconds * 1e9))


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that is over.

    Attributes:
        ok: whether it was answered.
        reason: why it was not, in one of the words of `REASONS`.
        seconds: from its arrival to its answer.
        rows: of the request.
        steps: seconds by step, all of them; of an answer.
        look_up_s: seconds that the cache took; None where it was not asked.
        hit: whether the cache knew the whole answer.
    """

    ok: bool
    seconds: float
    reason: Reason = "OTHER"
    rows: int = 0
    steps: Mapping[Step, float] = field(default_factory=dict)
    look_up_s: float | None = None
    hit: bool = False


@dataclass(slots=True)
class ModelStatistics:
    """The counts of one version of a model.

    Attributes:
        last_ms: when it last answered, milliseconds since the epoch; 0: never.
        failures: by reason; `fail` is all of them.
        batches: runs by number of rows.
    """

    name: str
    version: str
    last_ms: int = 0
    inferences: int = 0
    executions: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    failures: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    steps: dict[Step, Duration] = field(
        default_factory=lambda: {step: Duration() for step in STEPS}
    )
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)
    batches: dict[int, Duration] = field(default_factory=dict)


class Statistics:
    """Counts for all models; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._models: dict[tuple[str, str], ModelStatistics] = {}

    def ran(self, model: ModelId, rows: int, seconds: float) -> None:
        """Count one run of one of the model's programs."""
        with self._lock:
            counts = self._counts(model.name, model.version)
            counts.executions += 1
            size = _size(rows, counts.batches)
            counts.batches.setdefault(size, Duration()).add(seconds)

    def answered(self, model: ModelId, request: Answered) -> None:
        """Count one request."""
        with self._lock:
            counts = self._counts(model.name, model.version)
            if not request.ok:
                counts.fail.add(request.seconds)
                counts.failures[request.reason] += 1
                return
            counts.last_ms = time.time_ns() // 1_000_000
            counts.success.add(request.seconds)
            if request.look_up_s is not None and request.hit:
                counts.cache_hit.add(request.look_up_s)
                return
            if request.look_up_s is not None:
                counts.cache_miss.add(request.look_up_s)
            counts.inferences += request.rows
            for step, seconds in request.steps.items():
                counts.steps[step].add(seconds)

    def forget(self, model: ModelId) -> None:
        """Begin again at zero: the model is loaded anew, or no more."""
        with self._lock:
            self._models.pop((model.name, model.version), None)

    def of(self, name: str, version: str) -> ModelStatistics:
        """A copy of the counts of one version; zeros where it has not been asked."""
        with self._lock:
            return deepcopy(self._counts(name, version))

    def _counts(self, name: str, version: str) -> ModelStatistics:
        counts = self._models.get((name, version))
        if counts is None:
            counts = self._models[name, version] = ModelStatistics(name, version)
        return counts


def _size(rows: int, known: Mapping[int, Duration]) -> int:
    """The batch size under which a run is counted: beyond so many, the next power of two."""
    if rows in known or len(known) < _MAX_SIZES:
        return rows
    return 1 << max(0, rows - 1).bit_length()
