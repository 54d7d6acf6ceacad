"""`python -m zoo.page renew|draw|write --server HOST:PORT [MODEL ...]`, against a service."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from candor.client import Client, ModelInfo
from zoo.data import MissingDataError, data_root
from zoo.page.draw import draw, save
from zoo.page.measure import Measured, measure
from zoo.page.record import PICTURES, Drawn, drawing_code, read_record, write_record
from zoo.page.rows import Split, load_split
from zoo.page.write import PAGE, write_page
from zoo.progress import say

FIGURES = Path(__file__).parent / "measured.json"


def read_figures() -> dict[str, Measured]:
    """Return what was measured, by model."""
    found: dict[str, Measured] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def renew(client: Client, names: Sequence[str]) -> None:
    """Measure and draw models; their rows are read once for both."""
    served = [summary.id.name for summary in client.models()]
    figures = {name: of for name, of in read_figures().items() if name in served}
    for name in names or served:
        model, split = client.model(name), load_split(name, data_root())
        figures[name] = measure(client, model, split, data_root())
        FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _draw(client, model, split, None)


def redraw(client: Client, names: Sequence[str], private: Path | None) -> None:
    """Draw models; with a folder `private`, data sets' own rows too, into that."""
    for name in names or [summary.id.name for summary in client.models()]:
        _draw(client, client.model(name), load_split(name, data_root()), private)


def _draw(client: Client, model: ModelInfo, split: Split, private: Path | None) -> None:
    name = model.id.name
    wrong = read_figures()[name]["wrong"]
    sheet = draw(client, model, split, wrong, private=private is not None)
    file = save(sheet, private or PICTURES, model)
    say(f"{file}: {file.stat().st_size:,} bytes")
    if private is None:
        served = {summary.id.name for summary in client.models()}
        drawn = {known: of for known, of in read_record().items() if known in served}
        drawn[name] = Drawn(file=file.name, digest=model.id.digest, code=drawing_code())
        write_record(drawn)


def main() -> int:
    """Run a command; a missing data set is a message and status 2."""
    parser = argparse.ArgumentParser(prog="zoo.page", description="Document the models served.")
    parser.add_argument("verb", choices=["renew", "draw", "write"])
    parser.add_argument("models", nargs="*", metavar="model", help="(all)")
    parser.add_argument("--server", default="127.0.0.1:8001", help="host:port (127.0.0.1:8001)")
    parser.add_argument("--private", type=Path, help="draw the data sets' own rows too, to there")
    options = parser.parse_intermixed_args()
    with Client(options.server) as client:
        client.wait_ready(timeout_s=60)
        try:
            if options.verb == "renew":
                renew(client, options.models)
            elif options.verb == "draw":
                redraw(client, options.models, options.private)
            else:
                PAGE.write_text(write_page(client, read_figures()), encoding="utf-8")
        except MissingDataError as error:
            sys.stderr.write(f"zoo.page: {error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
