"""What the commands that talk to a running service have in common."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypedDict

from candor.cli.exits import UsageError
from candor.client import ModelInfo, Tls
from candor.client.connection import ATTEMPTS
from candor.errors import InvalidOption
from candor.result import Array, Images, Payload, Tensors, Texts
from candor.settings import ENVIRONMENT_PREFIX, load_settings

__all__ = [
    "Connection",
    "RowArguments",
    "add_connection_arguments",
    "add_model_arguments",
    "add_server_arguments",
    "connection",
    "only_input",
    "row_arguments",
]

# A key on the command line could be read by everybody on the machine.
_KEY_VARIABLE: Final = f"{ENVIRONMENT_PREFIX}API_KEY"


class RowArguments(TypedDict, total=False):
    """A payload in the client's words."""

    images: list[bytes]
    texts: list[str]
    tensors: Mapping[str, Array]


class Connection(TypedDict):
    """A connection in the clients' words."""

    tls: Tls | bool
    api_key: str
    attempts: int


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the service is, and what `add_connection_arguments` adds."""
    parser.add_argument(
        "--server",
        default=load_settings().grpc_address,
        metavar="HOST:PORT",
        help="the service (default: CANDOR_GRPC_ADDRESS, else 127.0.0.1:8001)",
    )
    add_connection_arguments(parser)


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to connect, how long to wait, and --json."""
    secured = parser.add_argument_group("a service with TLS, or that asks for a key")
    secured.add_argument(
        "--tls", action="store_true", help="use TLS, and trust the usual authorities"
    )
    secured.add_argument(
        "--tls-ca", metavar="FILE", help="use TLS, and trust the authorities in this PEM file"
    )
    secured.add_argument("--tls-cert", metavar="FILE", help="our own certificate, in PEM")
    secured.add_argument("--tls-key", metavar="FILE", help="and its private key")
    secured.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file that holds the key, and nothing else (default: {_KEY_VARIABLE})",
    )
    parser.add_argument(
        "--attempts",
        type=int,
        default=ATTEMPTS,
        metavar="N",
        help="how often to try a service that is busy or away, 1 to 5 (%(default)s)",
    )
    parser.add_argument(
        "--timeout-s", type=float, default=None, metavar="S", help="give up after this (never)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def connection(args: argparse.Namespace) -> Connection:
    """How to connect to `args.server`, as both clients take it.

    Raises:
        UsageError: only one of certificate and key.
        InvalidOption: a file cannot be read.
    """
    if bool(args.tls_cert) != bool(args.tls_key):
        raise UsageError("--tls-cert and --tls-key go together")
    tls = Tls(args.tls_ca, args.tls_cert, args.tls_key)
    return {
        "tls": tls if args.tls or tls != Tls() else False,
        "api_key": _key(args.api_key_file),
        "attempts": args.attempts,
    }


def _key(file: Path | None) -> str:
    if file is None:
        return os.environ.get(_KEY_VARIABLE, "")
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"--api-key-file '{file}' cannot be read: {error}") from error


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which model."""
    parser.add_argument("--model", required=True, metavar="NAME", help="name of the model")
    parser.add_argument("--version", default="", metavar="N", help="its version (the newest)")


def only_input(model: ModelInfo) -> str | None:
    """The name of the model's only input; None where it has several."""
    return model.inputs[0][0] if len(model.inputs) == 1 else None


def row_arguments(payload: Payload) -> RowArguments:
    """The payload as the client takes it."""
    match payload:
        case Images(encoded):
            return {"images": list(encoded)}
        case Texts(texts):
            return {"texts": list(texts)}
        case Tensors(by_name):
            return {"tensors": by_name}
