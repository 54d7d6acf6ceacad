"""Classify pictures, texts or tensors with a running service."""

import argparse
import json
import sys

from rich.console import Console

from candor.cli.inputs import add_input_arguments, read_rows
from candor.cli.outcome import print_row, row_record
from candor.cli.remote import (
    add_model_arguments,
    add_server_arguments,
    connection,
    only_input,
    row_arguments,
)
from candor.client import Client

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor predict cat.jpg dog.jpg --model photos
  candor predict --text "Not a bad film." --model sentences
  candor predict batch.npy --model digits --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor predict`."""
    add_input_arguments(parser)
    add_model_arguments(parser)
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the most probable classes of each row."""
    with Client(args.server, **connection(args)) as client:
        model = client.model(args.model, args.version, timeout_s=args.timeout_s)
        rows = read_rows(args, only_input(model))
        prediction = client.predict(
            args.model,
            version=args.version,
            timeout_s=args.timeout_s,
            **row_arguments(rows.payload),
        )
    if args.json:
        records = [row_record(prediction, name, row) for row, name in enumerate(rows.names)]
        json.dump(records, sys.stdout, indent=2)
        print()
        return 0
    console = Console(highlight=False)
    for row, name in enumerate(rows.names):
        print_row(console, prediction, name, row)
    return 0
