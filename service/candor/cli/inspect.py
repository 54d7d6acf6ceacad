"""Say what candor makes of an ONNX file: its operators, its layers, its methods and why not.

Nothing is served: the file is read, loaded into ONNX Runtime once, and taken apart. A model.toml
beside the file, or in the folder above it (as a model repository has it), counts.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import ModelProto
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.autodiff import BLOCKED, NO_GRADIENT, RULES
from candor.autodiff.prepare import EXPANDED
from candor.autodiff.rules import key
from candor.cli.cost import Cost, costs
from candor.cli.local import add_model_argument, add_size_argument, open_model, sole_input
from candor.result import Json
from candor.runtime.draws import random_rows
from candor.runtime.files import ModelFile
from candor.runtime.model import Model

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor inspect models/repository/photos/1/model.onnx
  candor inspect resnet18.onnx --json | jq .methods
  candor inspect resnet18.onnx --measure --size 224
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor inspect`."""
    add_model_argument(parser)
    parser.add_argument(
        "--measure", action="store_true", help="time each program against a plain prediction"
    )
    add_size_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print what there is to know."""
    file, model = open_model(args.file)
    found = _findings(file, model)
    if args.measure:
        found["costs"] = [cost._asdict() for cost in _measured(model, args.size, args.seed)]
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        _print(found)
    return 0


def _measured(model: Model, size: int | None, seed: int | None) -> list[Cost]:
    spec = sole_input(model, "--measure draws rows for")
    rng = np.random.default_rng(seed)
    return costs(model, random_rows(spec, model.subject().geometry, 1, size, rng))


def _findings(file: ModelFile, model: Model) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "digest": file.digest,
        "bytes": file.size_bytes,
        "provider": model.provider,
        "opset": {item.domain or "ai.onnx": item.version for item in file.proto.opset_import},
        "inputs": [_spec(spec) for spec in model.inputs],
        "explained_inputs": list(model.explained_inputs),
        "outputs": [_spec(spec) for spec in model.outputs],
        "classes": model.n_classes,
        "activation": model.activation,
        "operators": _operators(file.proto),
        "layers": [{"name": layer.name, "shape": _sizes(layer.shape)} for layer in model.layers],
        "default_layer": model.default_layer,
        "methods": dict(model.methods),
    }


def _spec(spec: Any) -> dict[str, Json]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _sizes(shape: Any) -> list[Json]:
    return [size if isinstance(size, int) else -1 for size in shape or ()]


_DERIVATIVES: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "yes": lambda name: name in RULES or name in EXPANDED,
        "zero": NO_GRADIENT.__contains__,
        "refused": BLOCKED.__contains__,
        "no rule": lambda _: True,
    }
)


def _operators(proto: ModelProto) -> list[dict[str, Json]]:
    counts = Counter(key(node) for node in proto.graph.node)
    return [
        {
            "operator": name,
            "count": count,
            "derivative": next(word for word, holds in _DERIVATIVES.items() if holds(name)),
        }
        for name, count in counts.most_common()
    ]


def _print(found: Mapping[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(found['file'])}[/]  {_size(found['bytes'])}", end="")
    console.print(f"  digest {found['digest'][:16]}…  on {found['provider']}")
    for side in ("inputs", "outputs"):
        for spec in found[side]:
            shape = ", ".join("?" if size < 0 else str(size) for size in spec["shape"])
            console.print(
                f"  {side[:-1]:<7} {escape(spec['name'])}  {spec['datatype']} \\[{shape}]"
            )
    if len(found["inputs"]) > 1 and found["explained_inputs"]:
        console.print(f"  explained: {escape(', '.join(found['explained_inputs']))}")
    if found["classes"]:
        console.print(f"  {found['classes']} classes, probabilities by {found['activation']}")
    console.print(_table("operator", "nodes", "derivative", rows=[
        (row["operator"], str(row["count"]), row["derivative"]) for row in found["operators"]
    ]))  # fmt: skip
    if found["layers"]:
        default = found["default_layer"]
        console.print(_table("layer for class activation maps", "shape", "", rows=[
            (escape(row["name"]), " x ".join("?" if n < 0 else str(n) for n in row["shape"]),
             "default" if row["name"] == default else "")
            for row in found["layers"]
        ]))  # fmt: skip
    console.print(_table("method", "", "why not", rows=[
        (name, "[red]no[/]" if reason else "[green]yes[/]", escape(reason or ""))
        for name, reason in found["methods"].items()
    ]))  # fmt: skip
    if "costs" in found:
        _print_costs(console, found)


def _print_costs(console: Console, found: Mapping[str, Any]) -> None:
    console.print(_table("program", "ms", "times a prediction", "quartiles", rows=[
        (f"{cost['program']} (a {cost['per']})", f"{cost['ms']:.2f}", f"{cost['ratio']:.2f}",
         f"{cost['low']:.2f} - {cost['high']:.2f}")
        for cost in found["costs"]
    ]))  # fmt: skip


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.1f} kB"


def _table(*headings: str, rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    table.title = ""
    return table
