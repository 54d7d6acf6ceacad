"""The command line: `candor COMMAND`, one module a command.

A command's module has `EXAMPLES`, `arguments(parser)` and `run(args)`; its docstring is the text of
`-h`. Modules are imported when their command is called, so that `candor -h` answers at once and a
client needs none of the server's packages.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType

from candor import __version__
from candor.cli.exits import EXITS, UsageError, exit_code
from candor.errors import CandorError

__all__ = ["COMMANDS", "main", "parser_of"]

COMMANDS = MappingProxyType(
    {
        "serve": "start the service",
        "demo": "start the service, explain photographs and sentences, and stop",
        "models": "list the models of a running service, or describe one",
        "inspect": "say what candor makes of an ONNX file: operators, layers, methods",
        "verify": "check a model's gradient against finite differences in float64",
        "sanity": "check whether explanations depend on the weights: the randomisation test",
        "predict": "classify pictures, texts or tensors with a running service",
        "explain": "classify and explain them: pictures, tables, JSON",
        "bulk": "explain a whole data set: folders of pictures and tables in, Parquet out",
        "jobs": "list the jobs of a running service, wait for one, or cancel it",
        "load": "load-test a running service: latencies, rates and failures of a mix of requests",
        "keys": "make a key for a caller of a service that asks for one",
        "settings": "list every setting with its flag, variable, default and present value",
    }
)

# What a package that is missing comes with; all others are a server's.
_EXTRAS = MappingProxyType({"rich": "cli", "pyarrow": "bulk", "ray": "ray"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] not in COMMANDS:
        return _no_command(argv)
    name, rest = argv[0], argv[1:]
    # Read once, when numpy is imported: its threads would spin beside ONNX Runtime's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Else gRPC writes a line, none of JSON, for every stranger who fails to shake hands.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        args = parser_of(name).parse_args(rest)
        code = importlib.import_module(f"candor.cli.{name}").run(args)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        return _missing(name, error)
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UsageError, CandorError, OSError) as error:
        print(f"candor {name}: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    return int(code)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    module = importlib.import_module(f"candor.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"candor {name}",
        description=module.__doc__,
        epilog=f"examples:\n{module.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(parser)
    return parser


def _no_command(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="candor",
        description="Predictions that explain themselves, from one ONNX file, over gRPC.",
        epilog="exit codes:\n" + "\n".join(f"  {row.code:<4} {row.meaning}" for row in EXITS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"candor {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, help_ in COMMANDS.items():
        commands.add_parser(name, help=help_)
    parser.parse_args(argv or ["--help"])
    return 0


def _missing(command: str, error: ModuleNotFoundError) -> int:
    if error.name is None or error.name.startswith("candor"):
        raise error
    extra = _EXTRAS.get(error.name.partition(".")[0], "serve")
    print(
        f"candor {command}: the package '{error.name}' is not installed; this command needs "
        f"pip install 'candor[{extra}]'",
        file=sys.stderr,
    )
    return 1
