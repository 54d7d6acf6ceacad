"""The two charts of a stage: latency by percentile, and the stage second by second."""

from collections.abc import Mapping, Sequence

import numpy as np

from candor.cli.loading.chart import Axis, Line, chart
from candor.cli.loading.summary import Moment
from candor.result import Array

__all__ = ["by_percentile", "by_second"]

_PARTS = ((0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"))
_MOST_POINTS = 400


def by_percentile(latencies_ms: Mapping[str, Array]) -> str:
    """Latency against the share of requests that were quicker, the rare end stretched.

    Args:
        latencies_ms: float64 [k] by name of the kind; those without any are left out.
    """
    lines = [_ranked(name, values) for name, values in latencies_ms.items() if len(values)]
    if not lines:
        return ""
    y = _decades(np.concatenate([line.y for line in lines]))
    x = Axis("share of requests that were quicker", [(float(_stretched(p)), t) for p, t in _PARTS])
    return chart("Latency by percentile, ms", x, y, lines)


def by_second(moments: Sequence[Moment]) -> str:
    """Median and 99th percentile of each second, with how many were answered and failed."""
    seconds = np.array([moment.second for moment in moments])
    end = max(int(seconds[-1]), 1)
    x = Axis("seconds", [(at, f"{at:g}") for at in _round_steps(end)])
    rows = {
        "p50, ms": [moment.p50_ms for moment in moments],
        "p99, ms": [moment.p99_ms for moment in moments],
        "answered/s": [moment.rate for moment in moments],
        "failed/s": [moment.failed or np.nan for moment in moments],
    }
    lines = [
        Line(name, seconds, np.log10(np.maximum(values, 1e-3))) for name, values in rows.items()
    ]
    heights = np.concatenate([line.y for line in lines])
    return chart("Second by second", x, _decades(heights[np.isfinite(heights)]), lines)


def _ranked(name: str, values: Array) -> Line:
    """A line through the sorted latencies, thinned where the eye sees no difference."""
    ordered = np.sort(values)
    highest = min(1 - 1 / len(ordered), _PARTS[-1][0])
    shares = 1 - 10.0 ** -np.linspace(0, _stretched(highest), _MOST_POINTS)
    places = np.minimum((shares * len(ordered)).astype(int), len(ordered) - 1)
    return Line(name, _stretched(shares), np.log10(np.maximum(ordered[places], 1e-3)))


def _stretched(share: Array | float) -> Array:
    stretched: Array = -np.log10(1 - np.asarray(share))
    return stretched


def _decades(logarithms: Array) -> Axis:
    """An axis of powers of ten round base-10 logarithms."""
    low, high = int(np.floor(logarithms.min())), int(np.ceil(logarithms.max()))
    ticks = range(low, max(high, low + 1) + 1)
    return Axis("", [(tick, f"{10.0**tick:g}") for tick in ticks])


def _round_steps(end: int) -> list[int]:
    """At most seven whole numbers from 0 that reach beyond the end."""
    step = next(s for s in (1, 2, 5, 10, 15, 30, 60, 300, 600, 3600, 10**6) if end / s <= 6)
    return list(range(0, end + step, step))
