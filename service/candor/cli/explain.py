"""Classify and explain pictures, texts or tensors with a running service.

--out receives a drawing for each method and target (the map on the picture that was sent, the words
of a text in colours, the curves of a series over a band, the features of a record as bars), and one
JSON file for each row with values and trust records. Texts and records are drawn here too.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from candor.cli.asking import add_asking_arguments, asking_of, methods_of, render_of
from candor.cli.drawing import print_explained_row, print_features
from candor.cli.exits import UsageError
from candor.cli.inputs import Rows, add_input_arguments, read_rows
from candor.cli.outcome import answer_name, answer_record, row_record
from candor.cli.progress import progress_bars
from candor.cli.remote import (
    add_model_arguments,
    add_server_arguments,
    connection,
    only_input,
    row_arguments,
)
from candor.client import Client, Explanation
from candor.result import Texts

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor explain cat.jpg --model photos --methods grad_cam,lime --out out/
  candor explain cat.jpg --model photos --methods lime --option lime.n_samples=300
  candor explain cat.jpg --model photos --methods grad_cam --target "tabby cat" --target lion
  candor explain cat.jpg --model photos --methods grad_cam,gradient --trust full
  candor explain --text "Not a bad film." --model sentences --methods gradient,lime
  candor explain records.npy --model adult-mlp --methods lime --out out/ --format svg
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor explain`."""
    add_input_arguments(parser)
    add_model_arguments(parser)
    add_asking_arguments(parser)
    parser.add_argument(
        "--opacity", type=float, default=0.5, metavar="0..1", help="of the map on the picture (0.5)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write drawings and JSON files there"
    )
    parser.add_argument(
        "--format",
        choices=("png", "svg", "html"),
        help="of the drawings: svg for series and records, html (the default) for texts, else png",
    )
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Explain, and show or write the answers."""
    if args.out:
        _check_folder(args.out)
    with Client(args.server, **connection(args)) as client:
        model = client.model(args.model, args.version, timeout_s=args.timeout_s)
        rows = read_rows(args, only_input(model))
        with progress_bars() as show:
            explanation = client.explain(
                args.model,
                [methods_of(args.methods, args.option)],
                on_progress=show,
                timeout_s=args.timeout_s,
                **asking_of(args) | render_of(args, rows.payload, model.kind),
                **row_arguments(rows.payload),
            )
    records = _records(rows, explanation, model.labels)
    written = _write(args.out, records, rows, explanation) if args.out else []
    if args.json:
        json.dump(records, sys.stdout)
        print()
        return 0
    console = Console(highlight=False)
    texts = rows.payload.texts if isinstance(rows.payload, Texts) else ()
    for row, name in enumerate(rows.names):
        text = texts[row] if texts else None
        print_explained_row(console, explanation, row, model.labels, name=name, text=text)
        if model.kind == "tabular":
            print_features(console, explanation, row, model.labels)
    for file in written:
        print(file)
    return 0


def _records(rows: Rows, explanation: Explanation, labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        row_record(explanation.prediction, name, row)
        | {"answers": [answer_record(a, labels) for a in explanation.answers if a.row == row]}
        for row, name in enumerate(rows.names)
    ]


def _check_folder(folder: Path) -> None:
    """Make the folder and write to it, before minutes of work are spent on what goes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written to: {error.strerror}") from error


def _write(
    folder: Path, records: list[dict[str, Any]], rows: Rows, explanation: Explanation
) -> list[Path]:
    """Write each row's record, and each answer's drawing if it has one; the files written."""
    files = []
    for answer in explanation.answers:
        if answer.drawing is not None:
            place = f".{answer.position + 1}" if _several_targets(explanation) else ""
            own = re.sub(r"[^\w.-]", "_", answer_name(answer))  # an input's name may hold anything
            name = f"{rows.names[answer.row]}.{own}{place}{answer.drawing.suffix}"
            files.append(answer.drawing.save(folder / name))
    for record in records:
        file = folder / f"{record['name']}.json"
        file.write_text(json.dumps(record), encoding="utf-8")
        files.append(file)
    return files


def _several_targets(explanation: Explanation) -> bool:
    return any(answer.position > 0 for answer in explanation.answers)
