"""A bar for each explanation under way, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from candor.client import Progress as Report

__all__ = ["Reporter", "progress_bars"]


class Reporter(Protocol):
    """Told of every step."""

    def __call__(self, report: Report) -> None:
        """Show how far the explanation is."""
        ...


@contextmanager
def progress_bars() -> Iterator[Reporter]:
    """Show bars while the block runs; they vanish after it, and stay away from pipes and files."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bars:  # fmt: skip
        tasks = {}

        def show(report: Report) -> None:
            key = (report.method, report.row, report.position)
            if key not in tasks:
                place = f"{report.method}, row {report.row + 1}"
                tasks[key] = bars.add_task(place, total=1.0)
            bars.update(tasks[key], completed=report.fraction)

        yield show
