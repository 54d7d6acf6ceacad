"""What is counted of a call that is over, in the words of the Open Inference Protocol."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from grpc import StatusCode

from candor.engine.request import Explanation, Prediction
from candor.engine.statistics import Answered, Reason

__all__ = ["answered_of", "idle_s"]

_REASONS: Final[Mapping[StatusCode, Reason]] = MappingProxyType(
    {
        StatusCode.RESOURCE_EXHAUSTED: "REJECTED",
        StatusCode.CANCELLED: "CANCELED",
        StatusCode.INTERNAL: "BACKEND",
    }
)


def idle_s(result: Prediction | Explanation | None, method: str) -> float:
    """How long the answers of one method waited for those of the others, to be sent with them."""
    if not isinstance(result, Explanation) or method not in result.ready_s:
        return 0.0
    return result.timings_s["total"] - result.ready_s[method]


def answered_of(
    result: Prediction | Explanation | None,
    timings_s: Mapping[str, float],
    code: StatusCode,
    seconds: float,
) -> Answered:
    """A call that is over, as the statistics count it."""
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
