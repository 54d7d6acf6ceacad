"""Load-test a running service: a mix of models and methods, in a closed or an open loop.

A closed loop (--concurrency) has so many callers, each of which asks again when it is answered. An
open loop (--rate) sends so many requests a second whatever the service does, and latency counts
from the moment at which each was due: that is what independent users find. Each request carries
new random rows unless --repeat, files or texts say otherwise, so that no cache knows the answer,
and is sent once unless --attempts says otherwise.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from candor.cli.exits import UsageError
from candor.cli.inputs import add_input_arguments, read_rows
from candor.cli.loading.drive import Load, run_stage, send
from candor.cli.loading.mix import Ask, parse_mix
from candor.cli.loading.pace import Stage, parse_concurrency, parse_rate
from candor.cli.loading.report import StageReport, as_html, as_json, as_table
from candor.cli.loading.rows import RowSource, made_for, taken_from
from candor.cli.loading.samples import Samples
from candor.cli.loading.show import watched
from candor.cli.loading.summary import by_ask, of_all, timeline
from candor.cli.remote import add_server_arguments, connection, only_input
from candor.client import AsyncClient

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor load --mix photos                            eight callers, ten seconds
  candor load --mix photos --concurrency 1,2,4,8      a stage for each
  candor load --mix photos --rate 10:200 --seconds 60 --out out/
  candor load --mix photos=8 photos:grad_cam=1 sentences:lime=1 --rate 20
  candor load --mix photos:grad_cam --repeat 100      a hundred different requests: cache hits
  candor load cat.jpg dog.jpg --mix photos:lime --cache bypass
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor load`."""
    parser.add_argument(
        "--mix", nargs="+", required=True, metavar="MODEL[:METHOD][=WEIGHT]",
        help="what is asked; no method: a prediction; several methods in one request: a+b",
    )  # fmt: skip
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--concurrency", default="8", metavar="N[,N...]", help="closed loop: so many callers (8)"
    )
    pace.add_argument(
        "--rate", metavar="R[,R...]", help="open loop: requests a second; A:B rises from A to B"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="a stage (10)")
    parser.add_argument(
        "--steady", action="store_true", help="open loop at even distances, not random ones"
    )
    parser.add_argument(
        "--max-under-way", type=int, default=1000, metavar="N",
        help="an open loop sends no more than these at a time; the others count as not_sent (1000)",
    )  # fmt: skip
    parser.add_argument("--rows", type=int, default=1, metavar="N", help="in a request (1)")
    parser.add_argument(
        "--length", type=int, default=32, metavar="N", help="of axes without a fixed one (32)"
    )
    parser.add_argument(
        "--repeat", type=int, default=0, metavar="N", help="only so many different random requests"
    )
    parser.add_argument("--cache", choices=("use", "refresh", "bypass"), default="use")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is random (0)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write load.html and load.json there"
    )
    add_input_arguments(parser)
    add_server_arguments(parser)
    parser.set_defaults(attempts=1)  # a refusal that is tried again would not be seen


def run(args: argparse.Namespace) -> int:
    """Run the stages and report; 1 if not one request was answered."""
    asks = parse_mix(args.mix)
    stages: Sequence[Stage] = (
        parse_rate(args.rate) if args.rate else parse_concurrency(args.concurrency)
    )
    for name in ("seconds", "rows", "length", "max_under_way"):
        if not getattr(args, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(args, name)}; expected > 0")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    done: list[StageReport] = []
    try:
        asyncio.run(_run(args, asks, stages, done))
    except KeyboardInterrupt:
        code = 130
    else:
        code = 0 if any(stage.total.n_ok for stage in done) else 1
    _report(args, done)
    return code


async def _run(
    args: argparse.Namespace, asks: Sequence[Ask], stages: Sequence[Stage], done: list[StageReport]
) -> None:
    """Run each stage and put its report into `done`, also where the user breaks it off."""
    rng = np.random.default_rng(args.seed)
    async with AsyncClient(args.server, **connection(args)) as client:
        sources = [await _source(args, client, ask, rng) for ask in asks]
        load = Load(
            client, asks, sources, args.seconds, args.timeout_s or 30.0, args.cache,
            args.steady, args.max_under_way, rng,
        )  # fmt: skip
        for index in range(len(asks)):
            # The first of a kind compiles its program; one that cannot be answered ends the test.
            await send(load, index)
        for stage in stages:
            samples = Samples()
            try:
                async with watched(stage.name, args.seconds, samples):
                    await run_stage(load, stage, samples)
            finally:
                columns = samples.columns()
                kinds = by_ask(columns, asks)
                done.append(
                    StageReport(stage.name, of_all(columns), kinds, timeline(columns), columns)
                )


async def _source(
    args: argparse.Namespace, client: AsyncClient, ask: Ask, rng: np.random.Generator
) -> RowSource:
    model = await client.model(ask.model, timeout_s=args.timeout_s)
    if args.files or args.text or args.input:
        return taken_from(read_rows(args, only_input(model)).payload, args.rows, rng)
    return made_for(model, args.rows, args.length, args.repeat, rng)


def _report(args: argparse.Namespace, done: Sequence[StageReport]) -> None:
    asked = _asked(args)
    if args.json:
        print(as_json(asked, done))
    else:
        console = Console(highlight=False)
        for stage in done:
            console.print(as_table(stage))
    if args.out:
        for name, write in (("load.html", as_html), ("load.json", as_json)):
            (args.out / name).write_text(write(asked, done), encoding="utf-8")
            print(args.out / name, file=sys.stderr)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line said, so that the same test can be run again."""
    left_out = ("json", "out")
    return {
        name: [str(word) for word in value] if isinstance(value, list) else value
        for name, value in vars(args).items()
        if name not in left_out and value not in (None, [], False)
    }
