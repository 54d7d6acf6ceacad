"""List every setting: flag, environment variable, default and present value.

A setting is given as a flag of `candor serve`, else as an environment variable, else it has its
default. The present value is the one that `candor serve` would use if it were started here.
"""

import argparse
import json
import os
import sys

from rich.console import Console
from rich.table import Table

from candor.settings import SETTINGS, Settings, load_settings

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor settings
  CANDOR_GRPC_ADDRESS=127.0.0.1:9001 candor settings --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor settings`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    present = load_settings()
    if args.json:
        rows = [row._asdict() | {"value": _value(present, row.name)} for row in SETTINGS]
        json.dump(rows, sys.stdout, indent=2)
        print()
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=22)
    table.add_column("meaning")
    for row in SETTINGS:
        value = _value(present, row.name)
        given = row.variable in os.environ
        note = f"{row.help} (by {row.variable}; default {row.default})" if given else row.help
        table.add_row(row.name, f"{value} {row.unit}", note, style="bold" if given else "")
    console = Console()
    console.print(table)
    console.print(
        "\nA setting is a flag of candor serve (--grpc-address), else a variable "
        "(CANDOR_GRPC_ADDRESS), else its default.",
        highlight=False,
    )
    return 0


def _value(present: Settings, name: str) -> str:
    value = getattr(present, name)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
