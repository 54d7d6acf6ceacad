"""`python -m zoo train [photos] [sentences]` and `python -m zoo publish photos`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from zoo import run_photos, run_sentences, train_photos, train_sentences
from zoo.data import MissingDataError, data_root

RUNS = Path(__file__).parent / "runs"
REPOSITORY = Path(__file__).parent.parent / "repository"


def train_photos_model(minutes: float) -> None:
    """Fit the photograph model, going on where an interrupted run stopped, and publish it."""
    run_photos.fit(data_root(), RUNS, train_photos.Recipe(minutes=minutes))
    publish_photos_model(minutes)


def publish_photos_model(minutes: float) -> None:
    """Export the best checkpoint of a run, finished or not."""
    recipe = train_photos.Recipe(minutes=minutes)
    chosen = run_photos.load_chosen(RUNS / "photos-best.pt")
    run_photos.publish(data_root(), REPOSITORY / "photos", chosen, recipe)


def train_sentences_model(_: float) -> None:
    """Fit the sentence model and publish it."""
    run_sentences.run(data_root(), REPOSITORY / "sentences", train_sentences.Recipe())


COMMANDS = {
    ("train", "sentences"): train_sentences_model,
    ("train", "photos"): train_photos_model,
    ("publish", "photos"): publish_photos_model,
}


def main() -> int:
    """Run the commands asked for; a missing data set is a message and status 2."""
    parser = argparse.ArgumentParser(prog="zoo", description="Train and export candor's models.")
    parser.add_argument("verb", choices=sorted({verb for verb, _ in COMMANDS}))
    parser.add_argument("models", nargs="*", metavar="model", help="photos, sentences (all)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--minutes", type=float, default=90.0, help="time for photos (90)")
    options = parser.parse_args()
    known = [model for verb, model in COMMANDS if verb == options.verb]
    if unknown := set(options.models) - set(known):
        parser.error(f"cannot {options.verb} {', '.join(sorted(unknown))}: give {known}")
    torch.set_num_threads(options.threads)
    try:
        for model in options.models or known:
            COMMANDS[options.verb, model](options.minutes)
    except MissingDataError as error:
        sys.stderr.write(f"zoo: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
