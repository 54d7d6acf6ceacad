"""Check whether a model's explanations depend on what it has learnt (randomisation test).

The weights are shuffled from the output downwards, and the maps of each fast method compared with
those of the model itself. A method whose maps stay alike shows the input or the architecture, not
what the model knows. The result is kept beside the model as sanity.json, where a service finds it.
Exit code 1 means that a method failed.
"""

import argparse
import io
import json
import secrets
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from candor.cli.demonstration.photographs import PHOTOGRAPHS
from candor.cli.demonstration.texts import SENTENCES
from candor.cli.exits import UsageError
from candor.cli.local import (
    add_model_argument,
    add_size_argument,
    load_file,
    open_model,
    sole_input,
)
from candor.cli.sanity_run import Cascade, Inputs, sanity_test
from candor.errors import InvalidInput
from candor.explain.tabular import draw_records, typical_record
from candor.result import Array, Images, Payload, Texts
from candor.runtime.draws import random_rows
from candor.runtime.inputs import ImageInput, TokensInput
from candor.runtime.model import Model
from candor.runtime.sanity import write_sanity
from candor.sanity import MethodSanity, Sanity

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor sanity models/repository/photos/1/model.onnx
  candor sanity models/repository/photos/1 --input pictures.npy --seed 7
  candor sanity resnet18.onnx --size 224 --stages 4 --no-keep --json
"""

_N_ROWS = 8
_MARKS = {"passes": "[green]passes[/]", "fails": "[red]fails[/]", "undecided": "undecided"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor sanity`."""
    add_model_argument(parser)
    parser.add_argument(
        "--input", type=Path, metavar="FILE.npy", help="explain these rows (sample pictures, "
        "sentences or random rows, as the model's kind allows)"
    )  # fmt: skip
    parser.add_argument(
        "--stages", type=_count, default=8, metavar="N",
        help="at most how many steps from the last layer's weights to all (8)",
    )  # fmt: skip
    parser.add_argument(
        "--draws", type=_count, default=5, metavar="N",
        help="how often all weights are drawn for the last step, whose mean decides (5)",
    )  # fmt: skip
    parser.add_argument("--no-keep", action="store_true", help="do not write sanity.json")
    add_size_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Test, print a line for each method, and keep the result."""
    seed = secrets.randbits(32) if args.seed is None else args.seed
    file, model = open_model(args.file)
    inputs = _inputs(model, args.input, args.size, seed)
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("maps", total=None)
        cascade = Cascade(args.stages, args.draws, seed)
        steps = sanity_test(file, model, inputs, load_file, cascade)
        sanity = _told(steps, lambda done, n: bar.update(task, completed=done, total=n))
    kept = None if args.no_keep else write_sanity(sanity, file.path.parent)
    if args.json:
        json.dump(asdict(sanity), sys.stdout, indent=2)
        print()
    else:
        _print(sanity, args.file, kept)
    return 1 if any(each.verdict == "fails" for each in sanity.methods) else 0


def _told(
    steps: Generator[tuple[int, int], None, Sanity], tell: Callable[[int, int], None]
) -> Sanity:
    try:
        while True:
            tell(*next(steps))
    except StopIteration as end:
        sanity: Sanity = end.value
        return sanity


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _inputs(model: Model, given: Path | None, size: int | None, seed: int) -> Inputs:
    """Rows of the file; else samples that the model's own preprocessing takes; else random rows."""
    name = sole_input(model, "candor sanity tests").name
    if given:
        try:
            rows = np.load(given, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"{given} is not a .npy file of one array: {error}") from error
        tensors, what = {name: rows}, given.name
    elif (samples := _samples(model)) is not None:
        payload, what = samples
        found = [model.encode(each) for each in payload]
        return Inputs(tuple(each.tensors[name] for each in found), what)
    else:
        tensors, what = {name: _drawn(model, size, seed)}, "random rows"
    rows = model.check(tensors)[name]
    if len(rows) == 0:
        raise InvalidInput(f"{given} has no row; expected at least one")
    return Inputs(tuple(rows[at : at + 1] for at in range(len(rows))), what)


def _drawn(model: Model, size: int | None, seed: int) -> Array:
    """Random rows; records as the training data had them, where the manifest knows that."""
    spec = sole_input(model, "candor sanity tests")
    geometry = model.subject().geometry
    if geometry.columns:
        typical = typical_record(geometry.columns)
        drawn = draw_records(geometry.columns, typical, 1 + _N_ROWS, seed, discretise=True)
        return drawn.records[1:].astype(spec.dtype)
    return random_rows(spec, geometry, _N_ROWS, size, np.random.default_rng(seed))


def _samples(model: Model) -> tuple[Sequence[Payload], str] | None:
    prepared = model.manifest.input
    if isinstance(prepared, ImageInput):
        pictures = [_png(photograph.pixels()) for photograph in PHOTOGRAPHS]
        return [Images((each,)) for each in pictures], "the demo's photographs"
    if isinstance(prepared, TokensInput):
        return [Texts((each,)) for each in SENTENCES], "the demo's sentences"
    return None


def _png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _print(sanity: Sanity, name: Path, kept: Path | None) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(str(name))}[/]  seed {sanity.seed}, {sanity.n_inputs} of "
                  f"{sanity.inputs}", soft_wrap=True)  # fmt: skip
    console.print("rank correlation with the model's own map, the weights random down to")
    for number, stage in enumerate(sanity.stages, 1):
        console.print(f"  {number}  {escape(stage)}", soft_wrap=True)
    if sanity.n_draws > 1:
        console.print(f"the last is the mean over {sanity.n_draws} draws of all weights")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading in (*map(str, range(1, len(sanity.stages) + 1)), "verdict"):
        table.add_column(heading)
    for each in sanity.methods:
        numbers = ["-" if rho is None else f"{rho:.2f}" for rho in each.rank_correlation]
        table.add_row(_called(each), *numbers, _MARKS[each.verdict])
    console.print(table)
    for why in dict.fromkeys(each.why for each in sanity.methods if each.why):
        methods = ", ".join(_called(each) for each in sanity.methods if each.why == why)
        console.print(f"{methods}: {why}", soft_wrap=True)
    if kept:
        console.print(f"kept as {escape(str(kept))}", soft_wrap=True)


def _called(result: MethodSanity) -> str:
    return f"{result.method} x input" if result.options.get("times_input") else result.method
