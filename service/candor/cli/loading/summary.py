"""From samples to figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from candor.cli.loading.mix import Ask
from candor.cli.loading.samples import NOT_SENT, OK, Columns
from candor.result import Array

__all__ = ["PERCENTILES", "Moment", "Summary", "by_ask", "of_all", "timeline"]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a set of requests.

    Attributes:
        name: of the kind, or `all`.
        n_due: how many should have been sent.
        n_ok: how many were answered.
        failures: how many ended otherwise, by the error's kind.
        cache: how many of the answered explanations came from where.
        rate: answered in a second, until the last answer.
        percentiles_ms: of the time from when a request was due to its answer, answered ones only.
        max_ms: the longest of these.
        behind_ms: 99th percentile of how late this program sent what was due: where it is not
            small, it is the load generator that was measured.
    """

    name: str
    n_due: int
    n_ok: int
    failures: Mapping[str, int]
    cache: Mapping[str, int]
    rate: float
    percentiles_ms: Mapping[float, float]
    max_ms: float
    behind_ms: float


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of a stage, by the time of the answers; latencies are nan where none came."""

    second: int
    rate: float
    failed: float
    p50_ms: float
    p99_ms: float


def by_ask(columns: Columns, asks: Sequence[Ask]) -> tuple[Summary, ...]:
    """A summary for each kind of request that was due."""
    return tuple(
        of_all(_where(columns, columns.ask == index), ask.name)
        for index, ask in enumerate(asks)
        if (columns.ask == index).any()
    )


def of_all(columns: Columns, name: str = "all") -> Summary:
    """One summary of everything."""
    answered = columns.outcome == OK
    latency = 1e3 * (columns.ended - columns.due)[answered]
    sent = columns.outcome != NOT_SENT
    behind = 1e3 * (columns.sent - columns.due)[sent]
    seconds = float(columns.ended[answered].max()) if answered.any() else 0.0
    return Summary(
        name,
        len(answered),
        int(answered.sum()),
        _counts(columns.outcome[~answered]),
        _counts(columns.cache[columns.cache != ""]),
        float(answered.sum() / seconds) if seconds else 0.0,
        MappingProxyType({p: _percentile(latency, p) for p in PERCENTILES}),
        _percentile(latency, 100.0),
        _percentile(behind, 99.0),
    )


def timeline(columns: Columns) -> tuple[Moment, ...]:
    """The stage second by second."""
    if not len(columns.ended):
        return ()
    seconds = columns.ended.astype(int)
    return tuple(_moment(_where(columns, seconds == s), s) for s in range(int(seconds.max()) + 1))


def _moment(columns: Columns, second: int) -> Moment:
    answered = columns.outcome == OK
    latency = 1e3 * (columns.ended - columns.due)[answered]
    return Moment(
        second,
        float(answered.sum()),
        float((~answered).sum()),
        _percentile(latency, 50.0),
        _percentile(latency, 99.0),
    )


def _where(columns: Columns, mask: Array) -> Columns:
    return Columns(*(column[mask] for column in columns))


def _percentile(values: Array, percentile: float) -> float:
    """A value that was really measured, never one between two; nan of none."""
    return float(np.percentile(values, percentile, method="higher")) if len(values) else np.nan


def _counts(words: Array) -> Mapping[str, int]:
    names, counts = np.unique(words.astype(str), return_counts=True)
    return MappingProxyType({str(n): int(c) for n, c in zip(names, counts, strict=True)})
