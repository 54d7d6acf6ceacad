"""How far a bulk job is: a bar on a terminal, else a line now and then, both on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from candor.bulk.parts import Counts

__all__ = ["shown"]


@contextmanager
def shown(total: int, before: Counts, every_s: float) -> Iterator[Callable[[Counts], None]]:
    """Show what the block reports, rows by rows.

    Args:
        total: rows of the job.
        before: what was there when this run began; the rate is of this run.
        every_s: seconds between two lines where there is no terminal.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"))
    began = spoke = monotonic()
    rows, failed = before.rows, before.failed
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("", total=total, completed=rows, now="")

        def tell(counts: Counts) -> None:
            nonlocal rows, failed, spoke
            rows, failed = rows + counts.rows, failed + counts.failed
            now = monotonic()
            says = _says(total - rows, (rows - before.rows) / max(now - began, 1e-9), failed)
            bars.update(task, completed=rows, now=says)
            if not console.is_terminal and now - spoke >= every_s:
                spoke = now
                print(f"{rows:,} of {total:,} rows, {says}", file=sys.stderr, flush=True)

        yield tell


def _says(left: int, rate: float, failed: int) -> str:
    eta = f", {_duration(left / rate)} left" if rate > 0 else ""
    return f"{rate:,.1f}/s{eta}, {failed:,} failed"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
