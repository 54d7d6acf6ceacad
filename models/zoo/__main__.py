"""`python -m zoo train [NAME ...]`, `python -m zoo publish NAME ...`, `python -m zoo list`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from zoo.checkpoint import CheckpointError
from zoo.data import MissingDataError, data_root
from zoo.progress import say
from zoo.run_table import export_and_describe, train
from zoo.table import TABLE

RUNS = Path(__file__).parent / "runs"
REPOSITORY = Path(__file__).parent.parent / "repository"
CARDS = Path(__file__).parent / "cards"
"""Where models that are not served have their cards, a folder each."""


def train_and_publish(name: str, seeds: int) -> None:
    """Fit so many seeds of a model, each going on where it stopped, and publish the first."""
    train(name, TABLE[name], data_root(), RUNS, seeds)
    publish(name, seeds)


def publish(name: str, seeds: int) -> None:
    """Export what so many runs of a model have chosen, finished or not."""
    model = TABLE[name]
    target = (REPOSITORY if model.served else CARDS) / name
    export_and_describe(name, model, data_root(), RUNS, seeds, target)


VERBS: Mapping[str, Callable[[str, int], None]] = {"train": train_and_publish, "publish": publish}


def served() -> list[str]:
    """The models that are published; the others are trained where they are named."""
    return [name for name, model in TABLE.items() if model.served]


def main() -> int:
    """Run the commands asked for; a missing data set or run is a message and status 2."""
    parser = argparse.ArgumentParser(prog="zoo", description="Train and export candor's models.")
    parser.add_argument("verb", choices=[*VERBS, "list"])
    parser.add_argument(
        "models", nargs="*", metavar="model", help=f"{', '.join(TABLE)} (all that are served)"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--seeds", type=int, default=0, help="how many (as the table says)")
    options = parser.parse_args()
    if options.verb == "list":
        say("\n".join(served()))
        return 0
    if unknown := set(options.models) - set(TABLE):
        parser.error(f"cannot {options.verb} {', '.join(sorted(unknown))}: give {list(TABLE)}")
    torch.set_num_threads(options.threads)
    try:
        for name in options.models or served():
            VERBS[options.verb](name, options.seeds or TABLE[name].seeds)
    except (MissingDataError, CheckpointError) as error:
        sys.stderr.write(f"zoo: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
