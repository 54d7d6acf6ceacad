"""What `candor bulk` does, once its command line is read."""

import argparse
import asyncio
import json
from contextlib import AbstractContextManager, aclosing, nullcontext
from time import monotonic
from typing import Any

from candor.bulk.asking import Question
from candor.bulk.cluster import Cluster, connected, run_on_cluster
from candor.bulk.job import locked, missing, say_done, written
from candor.bulk.parts import Counts
from candor.bulk.places import InProcess, Place, Service, answering
from candor.bulk.running import run_chunks
from candor.bulk.starting import Wanted, start
from candor.cli.asking import asking_of, methods_of
from candor.cli.bulk_progress import shown
from candor.cli.remote import connection
from candor.settings import load_settings

__all__ = ["run"]

_ACTORS = 2


def run(args: argparse.Namespace) -> int:
    """Work until every row is in a part; 1 if not one row was explained."""
    wanted = Wanted(
        out=args.out.absolute(),
        inputs=args.inputs,
        question=_question(args),
        columns=[name for name in args.columns.split(",") if name],
        id=args.id,
        part_rows=args.part_rows,
        call_rows=args.call_rows,
        in_flight=args.in_flight,
        fail_fast=args.fail_fast,
    )
    began = monotonic()
    with locked(wanted.out), _cluster(args) as cluster:
        counts, n_parts = asyncio.run(_run(args, wanted, cluster))
    says: dict[str, Any] = {
        "rows": counts.rows, "failed": counts.failed, "parts": n_parts,
        "seconds": round(monotonic() - began, 3), "out": str(args.out),
    }  # fmt: skip
    print(json.dumps(says) if args.json else _line(says))
    return 1 if counts.failed == counts.rows else 0


async def _run(
    args: argparse.Namespace, wanted: Wanted, cluster: Cluster | None
) -> tuple[Counts, int]:
    place = _place(args)
    async with answering(place) as answerer:
        started = await start(wanted, answerer)
        job, survey = started.job, started.survey
        with shown(survey.n_rows, started.before, args.report_s) as tell:
            if cluster is None:
                running = run_chunks(job, answerer, missing(job))
            else:
                running = run_on_cluster(cluster, job, place)
            async with aclosing(running) as steps:
                async for counts in steps:
                    tell(counts)
    total = written(job, survey)
    say_done(job, total, survey.n_parts)
    return total, survey.n_parts


def _question(args: argparse.Namespace) -> Question:
    return Question(
        model=args.model,
        methods=methods_of(args.methods, args.option),
        asking=asking_of(args),
        timeout_s=args.timeout_s,
        patience_s=args.patience_s,
    )


def _place(args: argparse.Namespace) -> Place:
    if args.server is not None:
        return Service(args.server, **connection(args))
    flags = {} if args.model_root is None else {"model_root": args.model_root}
    return InProcess(load_settings(flags), args.model)


def _cluster(args: argparse.Namespace) -> AbstractContextManager[Cluster | None]:
    return nullcontext() if args.ray is None else connected(args.ray, args.actors or _ACTORS)


def _line(says: dict[str, Any]) -> str:
    failed = f", {says['failed']:,} of them with an error" if says["failed"] else ""
    return f"{says['rows']:,} rows{failed}, in {says['parts']:,} parts under {says['out']}"
