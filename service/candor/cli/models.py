"""List the models of a running service, or describe one: inputs, classes, layers, methods."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candor.cli.remote import add_server_arguments, connection
from candor.client import Client, ModelInfo, ModelSummary

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor models
  candor models photos
  candor models photos --json | jq -r '.labels[]'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor models`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this model")
    parser.add_argument("--version", default="", metavar="N", help="its version (the newest)")
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list, or one model."""
    with Client(args.server, **connection(args)) as client:
        if args.name:
            model = client.model(args.name, args.version, timeout_s=args.timeout_s)
            _print_json(asdict(model)) if args.json else _describe(model)
        else:
            models = client.models(timeout_s=args.timeout_s)
            _print_json([asdict(m) for m in models]) if args.json else _list(models)
    return 0


def _print_json(what: object) -> None:
    json.dump(what, sys.stdout, indent=2)
    print()


def _list(models: tuple[ModelSummary, ...]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("model", "version", "state", "input", "title, methods"):
        table.add_column(heading, overflow="fold")
    for model in models:
        about = model.reason or ", ".join(model.methods)
        table.add_row(
            escape(model.id.name),
            model.id.version,
            f"[green]{model.state}[/]" if model.state == "ready" else f"[red]{model.state}[/]",
            model.kind,
            escape("\n".join(line for line in (model.title, about) if line)),
        )
    Console(highlight=False).print(table if models else "the service has no models")


def _describe(model: ModelInfo) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(model.id.name)}[/] version {model.id.version}", end="")
    console.print(f"  digest {model.id.digest[:16]}…  on {model.provider}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, text in _facts(model):
        if text:
            table.add_row(heading, escape(text))
    for name, reason in model.methods.items():
        table.add_row(name, f"[red]no:[/] {escape(reason)}" if reason else "[green]yes[/]")
    console.print(table)


def _facts(model: ModelInfo) -> Iterator[tuple[str, str]]:
    yield "title", model.title
    yield "licence", model.licence
    yield "source", model.source
    for side, specs in (("input", model.inputs), ("output", model.outputs)):
        for name, datatype, shape in specs:
            sizes = ", ".join("?" if size < 0 else str(size) for size in shape)
            yield side, f"{name}  {datatype} [{sizes}]"
    prepared = "the server prepares pictures or texts" if model.preprocessing else "tensors only"
    yield "a row is", model.kind and f"{model.kind}; {prepared}"
    if len(model.inputs) > 1:
        yield "explained inputs", ", ".join(model.explained_inputs)
    labels = ", ".join(model.labels)
    yield "classes", labels and f"{len(model.labels)}, by {model.activation}: {labels}"
    yield "layers", ", ".join(model.layers)
    yield "default layer", model.default_layer
    yield from _sanity(model)


def _sanity(model: ModelInfo) -> Iterator[tuple[str, str]]:
    found = model.sanity
    if found is None:
        return
    verdicts: dict[str, list[str]] = {}
    for each in found.methods:
        by_input = " x input" if each.options.get("times_input") else ""
        verdicts.setdefault(each.verdict, []).append(each.method + by_input)
    told = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in verdicts.items())
    stale = "of another file than this one, run it again; " if model.sanity_stale else ""
    yield "randomisation test", f"{stale}{told}"
