"""Explain a whole data set: folders of pictures and tables in, Parquet out.

Pictures, and tables as Parquet, JSONL, CSV or .npy, are streamed through a running service
(--server), through this process (without it), or through many, on a Ray cluster (--ray). --out
receives parts of so many rows each; a job that was broken off, however, goes on where it was when
the same command is given again. A row that cannot be explained has its reason in the column
`error`.
"""

import argparse
from importlib import import_module
from pathlib import Path

from candor.cli.asking import add_asking_arguments
from candor.cli.exits import UsageError
from candor.cli.remote import add_connection_arguments, add_model_arguments

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor bulk photographs/ --model photos --methods grad_cam,lime --out out/photos
  candor bulk reviews.jsonl --model sentences --methods gradient --id key --out out/reviews
  candor bulk adult-*.parquet --model adult-mlp --methods lime --out out/adult --server host:8001
  candor bulk photographs/ --model photos --methods lime --out out/photos --ray --actors 8
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor bulk`."""
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT",
        help="folders of pictures, pictures, or tables: .parquet, .jsonl, .csv, .npy",
    )  # fmt: skip
    add_model_arguments(parser)
    add_asking_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where the parts go"
    )
    parser.add_argument(
        "--columns", default="", metavar="A,B",
        help="of tables, what a row is made of (image or text, else one column for each input of "
        "the model, else all: the features of a record)",
    )  # fmt: skip
    parser.add_argument(
        "--id", default="", metavar="COLUMN", help="of tables, what tells rows apart; kept"
    )
    parser.add_argument(
        "--part-rows", type=_count, default=1000, metavar="N", help="rows in a part (%(default)s)"
    )
    parser.add_argument(
        "--call-rows", type=_count, default=8, metavar="N", help="rows in a call (%(default)s)"
    )
    parser.add_argument(
        "--in-flight", type=_count, default=8, metavar="N", help="calls at a time (%(default)s)"
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="end at the first row that has an error"
    )
    parser.add_argument(
        "--patience-s", type=float, default=300.0, metavar="S",
        help="how long a service that is busy or away is asked again (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--report-s", type=float, default=10.0, metavar="S",
        help="without a terminal, say how far it is every so often (%(default)g)",
    )  # fmt: skip
    where = parser.add_argument_group("who explains (default: this process)")
    where.add_argument("--server", metavar="HOST:PORT", help="a service that runs")
    where.add_argument(
        "--model-root", metavar="FOLDER",
        help="of the models, without --server (default: CANDOR_MODEL_ROOT, else models/repository)",
    )  # fmt: skip
    where.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS",
        help="spread the job over a Ray cluster, by the address of its head (without one: over "
        "processes of this machine)",
    )  # fmt: skip
    where.add_argument(
        "--actors", type=_count, metavar="N", help="processes of --ray at a time (default: 2)"
    )
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Work until every row is in a part; 1 if not one row was explained."""
    if args.server is not None and args.model_root is not None:
        raise UsageError("--model-root is of no use with --server: the service has its own")
    if args.actors is not None and args.ray is None:
        raise UsageError("--actors is of no use without --ray")
    # What reads and writes Parquet is large; the help does without.
    return int(import_module("candor.cli.bulk_run").run(args))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)
