"""Check a model's gradient: is it the slope of the scores along random directions?

The program that would be served is compiled, promoted to float64 and compared with finite
differences of the scores; then what is served in float32 is compared with that, and with the same
program run without ONNX Runtime's optimisations. Exit code 1 means that something differs.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from candor.cli.exits import UsageError
from candor.cli.local import (
    add_model_argument,
    add_size_argument,
    open_model,
    sole_input,
    verification,
)
from candor.result import Array
from candor.runtime.draws import random_rows
from candor.runtime.verification import Agreement, Slope, Verification

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor verify models/repository/photos/1/model.onnx
  candor verify resnet18.onnx --size 224 --directions 8 --seed 7
  candor verify resnet18.onnx --input pictures.npy --target 281 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor verify`."""
    add_model_argument(parser)
    parser.add_argument("--rows", type=_count, default=2, metavar="N", help="random rows (2)")
    parser.add_argument("--input", type=Path, metavar="FILE.npy", help="these rows instead")
    parser.add_argument("--directions", type=_count, default=3, metavar="N", help="a row (3)")
    parser.add_argument("--target", type=int, metavar="CLASS", help="class (each row's top one)")
    add_size_argument(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Print a line for each result, and the verdict."""
    seed = secrets.randbits(32) if args.seed is None else args.seed
    file, model = open_model(args.file)
    console = Console(highlight=False, quiet=args.json)
    stderr = Console(stderr=True)
    console.print(f"{args.file}  seed {seed}", style="bold", markup=False, soft_wrap=True)
    with stderr.status("compiling"):
        spec = sole_input(model, "candor verify checks")
        check = verification(file, model, seed)
        geometry = model.subject().geometry
        rng = np.random.default_rng(seed)
        rows = _read(args.input) if args.input else random_rows(
            spec, geometry, args.rows, args.size, rng
        )  # fmt: skip
        rows = model.check({model.input_name: rows})[model.input_name]
        targets = check.targets(rows, args.target)
    console.print(_precision(check), soft_wrap=True)
    slopes = []
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("directions", total=len(rows) * args.directions)
        for slope in check.slopes(rows, targets, args.directions):
            slopes.append(slope)
            bar.advance(task)
            console.print(_slope_line(slope, model.labels), markup=False, soft_wrap=True)
    served = list(check.served(rows, targets))
    plain = list(check.unoptimised(rows, targets))
    for line in (*_lines("served in float32, against float64", served),
                 *_lines("optimised, against as written", plain)):  # fmt: skip
        console.print(line, markup=False, soft_wrap=True)
    verdicts = [slope.verdict for slope in slopes] + [one.verdict for one in (*served, *plain)]
    sound = set(verdicts) == {"agrees"}
    if args.json:
        json.dump(_as_json(check, seed, slopes, served, plain, sound=sound), sys.stdout, indent=2)
        print()
    verdict = f"the gradient is the slope, to {check.tolerance:.0e}" if sound else _failure(slopes)
    console.print(verdict, style="bold")
    return 0 if sound else 1


def _read(path: Path) -> Array:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a .npy file of one array: {error}") from error
    return np.asarray(found)


def _precision(check: Verification) -> str:
    how = f"differences of {check.step:.0e} of the input's size, tolerance {check.tolerance:.0e}"
    if not check.narrow:
        return f"all in float64; {how}"
    return f"{', '.join(check.narrow)} in float32, for which there is no float64 kernel; {how}"


def _slope_line(found: Slope, labels: tuple[str, ...]) -> str:
    named = f" {labels[found.target]}" if found.target < len(labels) else ""
    redrawn = f" after {found.redraws} redrawn, a kink crossed" if found.redraws else ""
    verdict = "no direction without a kink" if found.verdict == "kink" else found.verdict
    return (
        f"row {found.row}  class {found.target}{named}  direction {found.direction}  "
        f"slope {found.slope:+.9e}  gradient {found.along:+.9e}  error {found.error:.1e}  "
        f"{verdict}{redrawn}"
    )


def _lines(what: str, found: list[Agreement]) -> Iterator[str]:
    for one in found:
        yield (
            f"row {one.row}  {what}: cosine {one.cosine:.9f}, {one.close:.2%} of the elements "
            f"within 1e-5  {one.verdict}"
        )


def _failure(slopes: list[Slope]) -> str:
    if all(slope.verdict != "differs" for slope in slopes):
        return "it could not be shown that the gradient is the slope, or it is not what is served"
    return "the gradient is NOT the slope"


def _as_json(
    check: Verification, seed: int, slopes: list[Slope], served: list[Agreement],
    plain: list[Agreement], *, sound: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "seed": seed,
        "step": check.step,
        "tolerance": check.tolerance,
        "float32_operators": list(check.narrow),
        "slopes": [asdict(slope) for slope in slopes],
        "served": [asdict(one) | {"verdict": one.verdict} for one in served],
        "unoptimised": [asdict(one) | {"verdict": one.verdict} for one in plain],
        "agrees": sound,
    }
