"""`python -m zoo.page measure|draw|write --server HOST:PORT [MODEL ...]`, against a service."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from candor.client import Client
from zoo.data import MissingDataError, data_root
from zoo.page.draw import draw, save
from zoo.page.measure import Measured, measure
from zoo.page.rows import load_split
from zoo.page.write import PAGE, PICTURES, write_page
from zoo.progress import say

FIGURES = Path(__file__).parent / "measured.json"


def read_figures() -> dict[str, Measured]:
    """Return what was measured, by model."""
    found: dict[str, Measured] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def measure_models(client: Client, names: list[str]) -> None:
    """Measure models on their test splits; figures of models that are gone go too."""
    figures = read_figures() if FIGURES.exists() else {}
    served = [summary.id.name for summary in client.models()]
    figures = {name: figures[name] for name in served if name in figures}
    for name in names or served:
        figures[name] = measure(client, name, data_root())
        FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def draw_models(client: Client, names: list[str], private: Path | None) -> None:
    """Draw models; with a folder `private`, data sets' own rows too, into that."""
    figures, root = read_figures(), data_root()
    for name in names or [summary.id.name for summary in client.models()]:
        model, split = client.model(name), load_split(name, root)
        sheet = draw(client, model, split, figures[name], private=private is not None)
        if sheet is not None:
            file = (private or PICTURES) / f"{name}.png"
            save(sheet, file)
            say(f"{file}: {file.stat().st_size:,} bytes")


def main() -> int:
    """Run a command; a missing data set is a message and status 2."""
    parser = argparse.ArgumentParser(prog="zoo.page", description="Document the models served.")
    parser.add_argument("verb", choices=["measure", "draw", "write"])
    parser.add_argument("models", nargs="*", metavar="model", help="(all)")
    parser.add_argument("--server", default="127.0.0.1:8001", help="host:port (127.0.0.1:8001)")
    parser.add_argument("--private", type=Path, help="draw the data sets' own rows too, to there")
    options = parser.parse_intermixed_args()
    with Client(options.server) as client:
        client.wait_ready(timeout_s=60)
        try:
            if options.verb == "measure":
                measure_models(client, options.models)
            elif options.verb == "draw":
                draw_models(client, options.models, options.private)
            else:
                PAGE.write_text(write_page(client, read_figures()), encoding="utf-8")
        except MissingDataError as error:
            sys.stderr.write(f"zoo.page: {error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
