"""List the jobs of a running service, describe one, wait for it, or cancel it."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.cli.exits import UsageError, exit_code
from candor.cli.remote import add_server_arguments, connection
from candor.client import Client, Job, JobStatus
from candor.errors import CandorError

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor jobs
  candor jobs --json | jq -r '.[] | select(.state == "lost") | .id'
  candor jobs ID --wait
  candor jobs ID --cancel
"""

_COLOURS = {"succeeded": "green", "failed": "red", "lost": "red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor jobs`."""
    parser.add_argument("id", nargs="?", metavar="ID", help="describe this job")
    parser.add_argument("--cancel", action="store_true", help="stop it")
    parser.add_argument("--wait", action="store_true", help="until it has ended")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="jobs that are listed (100)"
    )
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the jobs, or one."""
    if (args.cancel or args.wait) and not args.id:
        raise UsageError("--cancel and --wait need the ID of a job")
    with Client(args.server, **connection(args)) as client:
        if not args.id:
            jobs = client.jobs(args.limit, timeout_s=args.timeout_s)
            _show([job.status for job in jobs], as_json=args.json)
            return 0
        job = client.job(args.id, timeout_s=args.timeout_s)
        if args.cancel:
            job.cancel(timeout_s=args.timeout_s)
        if args.wait:
            _wait(job, args.timeout_s)
    _show([job.status], as_json=args.json)
    return 0 if job.status.error is None or not args.wait else exit_code(job.status.error)


def _wait(job: Job, timeout_s: float | None) -> None:
    try:
        job.wait(timeout_s)
    except CandorError:
        if not job.status.done:
            raise


def _show(jobs: list[JobStatus], *, as_json: bool) -> None:
    if as_json:
        json.dump([_document(status) for status in jobs], sys.stdout, indent=2)
        print()
    else:
        _print(jobs)


def _document(status: JobStatus) -> dict[str, object]:
    times = ("submitted", "started", "ended", "expires")
    when: dict[str, datetime | None] = {name: getattr(status, name) for name in times}
    error = status.error
    return {
        "id": status.id,
        "state": status.state,
        "progress": status.progress,
        "model": asdict(status.model),
        "methods": status.methods,
        **{name: None if time is None else time.isoformat() for name, time in when.items()},
        "error": None if error is None else {"name": type(error).__name__, "message": str(error)},
    }


def _print(jobs: list[JobStatus]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("job", no_wrap=True)
    for heading in ("state", "submitted", "model, methods"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        colour = _COLOURS.get(job.state, "default")
        lines = (job.model.name, ", ".join(job.methods), str(job.error or ""))
        table.add_row(
            job.id,
            f"[{colour}]{job.state}[/] {job.progress:.0%}",
            f"{job.submitted.astimezone():%m-%d %H:%M:%S}",
            escape("\n".join(line for line in lines if line)),
        )
    Console(highlight=False).print(table if jobs else "the service has no jobs of yours")
