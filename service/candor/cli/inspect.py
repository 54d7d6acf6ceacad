"""Say what candor makes of an ONNX file: its operators, its layers, its methods and why not.

Nothing is served: the file is read, loaded into ONNX Runtime once, and taken apart. A model.toml
beside the file, or in the folder above it (as a model repository has it), counts.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from onnx import ModelProto
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.autodiff import BLOCKED, NO_GRADIENT, RULES
from candor.autodiff.rules import key
from candor.cli.exits import UsageError
from candor.result import Json, ModelId
from candor.runtime.files import MODEL_FILE, read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.model import Model, ModelPolicy
from candor.runtime.session import SessionPolicy
from candor.settings import load_settings

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor inspect models/repository/photos/1/model.onnx
  candor inspect resnet18.onnx --json | jq .methods
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor inspect`."""
    parser.add_argument("file", type=Path, metavar="MODEL.onnx", help="the file, or its folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(args: argparse.Namespace) -> int:
    """Print what there is to know."""
    found = _findings(args.file / MODEL_FILE if args.file.is_dir() else args.file)
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        _print(found)
    return 0


def _findings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    file = read_model(path)
    folder = path.parent if (path.parent / "model.toml").exists() else path.parent.parent
    policy = ModelPolicy(
        session=SessionPolicy(providers=load_settings().providers),
        max_image_pixels=load_settings().max_image_pixels,
        on_run=lambda *_: None,
    )
    model = Model(ModelId(path.stem, "1", file.digest), file, load_manifest(folder), policy)
    return {
        "file": str(path),
        "digest": file.digest,
        "bytes": file.size_bytes,
        "provider": model.provider,
        "opset": {item.domain or "ai.onnx": item.version for item in file.proto.opset_import},
        "inputs": [_spec(spec) for spec in model.inputs],
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
        "yes": RULES.__contains__,
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
