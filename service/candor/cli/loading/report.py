"""The report of a load test: JSON for machines, HTML for people, a table for the terminal."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from math import isnan
from typing import Any

from rich.table import Table

from candor import __version__
from candor.cli.loading.plots import by_percentile, by_second
from candor.cli.loading.samples import OK, Columns
from candor.cli.loading.summary import PERCENTILES, Moment, Summary

__all__ = ["StageReport", "as_html", "as_json", "as_table"]

_SHOWN = (50.0, 90.0, 99.0)
_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;text-align:right}
td:first-child,th:first-child{text-align:left}tr+tr{border-top:1px solid #ddd}
.charts{display:flex;flex-wrap:wrap;gap:1em}svg{width:34em;max-width:100%}code{color:#555}"""


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage: its name, the whole, each kind of request, each second, and all samples."""

    name: str
    total: Summary
    kinds: tuple[Summary, ...]
    moments: tuple[Moment, ...]
    columns: Columns


def as_json(asked: Mapping[str, Any], stages: Sequence[StageReport]) -> str:
    """Everything but the single samples; not-a-number is null."""
    document = {
        "candor": __version__,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "asked": asked,
        "stages": [
            {
                "name": stage.name,
                "total": _record(stage.total),
                "kinds": [_record(kind) for kind in stage.kinds],
                "seconds": [_plain(asdict(moment)) for moment in stage.moments],
            }
            for stage in stages
        ],
    }
    return json.dumps(document, indent=1)


def as_table(stage: StageReport) -> Table:
    """A stage for the terminal."""
    table = Table(
        title=f"{stage.name}; times in ms", title_justify="left", box=None, pad_edge=False
    )
    for number, heading in enumerate(_headings()):
        table.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    for summary in _lines(stage):
        table.add_row(*_cells(summary))
    return table


def as_html(asked: Mapping[str, Any], stages: Sequence[StageReport]) -> str:
    """One page that needs nothing beside itself."""
    words = " ".join(f"{name}={value}" for name, value in asked.items())
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>candor load</title><style>{_STYLE}</style>",
            f"<h1>Load test</h1><p>candor {__version__}, {os.cpu_count()} cores where it was sent "
            f"from.<br><code>{escape(words)}</code></p>",
            "<p>Times are milliseconds from the moment at which a request was due to its answer, "
            "of the requests that were answered (<i>ok</i>). <i>Behind</i> is how late the load "
            "generator sent (99th percentile): where it is not small, the generator was the "
            "bottleneck.</p>",
            *(part for stage in stages for part in _section(stage)),
            "</html>\n",
        ]
    )


def _section(stage: StageReport) -> Iterator[str]:
    yield f"<h2>{escape(stage.name)}</h2><table>"
    yield "<tr>" + "".join(f"<th>{heading}</th>" for heading in _headings()) + "</tr>"
    for summary in _lines(stage):
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(summary)) + "</tr>"
    yield '</table><div class="charts">'
    answered = stage.columns.outcome == OK
    latency = 1e3 * (stage.columns.ended - stage.columns.due)
    names = {kind.name: index for index, kind in _indices(stage)}
    yield by_percentile(
        {name: latency[answered & (stage.columns.ask == index)] for name, index in names.items()}
    )
    if stage.moments:
        yield by_second(stage.moments)
    yield "</div>"


def _indices(stage: StageReport) -> Iterator[tuple[int, Summary]]:
    """Kinds with their places in the mix; those that were never due have no summary."""
    present = sorted(set(stage.columns.ask.tolist()))
    yield from zip(present, stage.kinds, strict=True)


def _lines(stage: StageReport) -> tuple[Summary, ...]:
    return stage.kinds if len(stage.kinds) == 1 else (*stage.kinds, stage.total)


def _headings() -> tuple[str, ...]:
    percentiles = (f"p{p:g}" for p in _SHOWN)
    return ("requests", "ok", "/s", *percentiles, "max", "behind", "cache", "failed")


def _cells(summary: Summary) -> tuple[str, ...]:
    percentiles = (_ms(summary.percentiles_ms[p]) for p in _SHOWN)
    return (
        summary.name,
        str(summary.n_ok),
        f"{summary.rate:.1f}",
        *percentiles,
        _ms(summary.max_ms),
        _ms(summary.behind_ms),
        " ".join(f"{count} {name}" for name, count in summary.cache.items()) or "-",
        ", ".join(f"{count} {name}" for name, count in summary.failures.items()) or "0",
    )


def _ms(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _record(summary: Summary) -> dict[str, Any]:
    record = {
        "name": summary.name,
        "n_due": summary.n_due,
        "n_ok": summary.n_ok,
        "failures": dict(summary.failures),
        "cache": dict(summary.cache),
        "rate": summary.rate,
        "max_ms": summary.max_ms,
        "behind_ms": summary.behind_ms,
    }
    record |= {f"p{p:g}_ms": summary.percentiles_ms[p] for p in PERCENTILES}
    return _plain(record)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and isnan(v) else v for k, v in record.items()}
