"""`python -m zoo train [NAME ...]`, `python -m zoo publish NAME ...`, `python -m zoo list`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from zoo import run_photos, run_table, train_photos
from zoo.data import MissingDataError, data_root
from zoo.progress import say
from zoo.table import TABLE

RUNS = Path(__file__).parent / "runs"
REPOSITORY = Path(__file__).parent.parent / "repository"
CARDS = Path(__file__).parent / "cards"
"""Where models that are not served have their cards, a folder each."""

Command = Callable[[argparse.Namespace], None]


def train_photos_model(options: argparse.Namespace) -> None:
    """Fit the photograph model, going on where an interrupted run stopped, and publish it."""
    run_photos.fit(data_root(), RUNS, train_photos.Recipe(minutes=options.minutes))
    publish_photos_model(options)


def publish_photos_model(options: argparse.Namespace) -> None:
    """Export the best checkpoint of a run, finished or not."""
    recipe = train_photos.Recipe(minutes=options.minutes)
    fitted = run_photos.chosen_so_far(RUNS, recipe)
    run_photos.publish(data_root(), REPOSITORY / "photos", fitted, recipe)


def train_table_model(name: str, options: argparse.Namespace) -> None:
    """Fit the seeds of a model of the table and publish it."""
    run_table.train(name, TABLE[name], data_root(), RUNS, options.seeds or TABLE[name].seeds)
    publish_table_model(name, options)


def publish_table_model(name: str, options: argparse.Namespace) -> None:
    """Export what the runs of a model of the table have chosen, finished or not."""
    model = TABLE[name]
    target, seeds = (REPOSITORY if model.served else CARDS) / name, options.seeds or model.seeds
    run_table.export_and_describe(name, model, data_root(), RUNS, seeds, target)


TRAIN: Mapping[str, Command] = {
    "photos": train_photos_model,
    **{name: partial(train_table_model, name) for name in TABLE},
}
PUBLISH: Mapping[str, Command] = {
    "photos": publish_photos_model,
    **{name: partial(publish_table_model, name) for name in TABLE},
}
VERBS: Mapping[str, Mapping[str, Command]] = {"train": TRAIN, "publish": PUBLISH}


def served() -> list[str]:
    """The models that are published; the others are trained where they are named."""
    return [name for name in TRAIN if name not in TABLE or TABLE[name].served]


def main() -> int:
    """Run the commands asked for; a missing data set is a message and status 2."""
    parser = argparse.ArgumentParser(prog="zoo", description="Train and export candor's models.")
    parser.add_argument("verb", choices=[*VERBS, "list"])
    parser.add_argument(
        "models", nargs="*", metavar="model", help=f"{', '.join(TRAIN)} (all that are served)"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--seeds", type=int, default=0, help="how many (as the table says)")
    parser.add_argument("--minutes", type=float, default=90.0, help="time for photos (90)")
    options = parser.parse_args()
    if options.verb == "list":
        say("\n".join(served()))
        return 0
    known = VERBS[options.verb]
    if unknown := set(options.models) - set(known):
        parser.error(f"cannot {options.verb} {', '.join(sorted(unknown))}: give {list(known)}")
    torch.set_num_threads(options.threads)
    try:
        for model in options.models or [name for name in served() if name in known]:
            known[model](options)
    except MissingDataError as error:
        sys.stderr.write(f"zoo: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
