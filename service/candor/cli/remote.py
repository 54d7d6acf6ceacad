"""What the commands that talk to a running service have in common."""

import argparse
from collections.abc import Mapping
from typing import TypedDict

from candor.client import ModelInfo
from candor.result import Array, Images, Payload, Tensors, Texts
from candor.settings import load_settings

__all__ = [
    "RowArguments",
    "add_model_arguments",
    "add_server_arguments",
    "only_input",
    "row_arguments",
]


class RowArguments(TypedDict, total=False):
    """A payload in the client's words."""

    images: list[bytes]
    texts: list[str]
    tensors: Mapping[str, Array]


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the service is, how long to wait, and --json."""
    parser.add_argument(
        "--server",
        default=load_settings().grpc_address,
        metavar="HOST:PORT",
        help="the service (default: CANDOR_GRPC_ADDRESS, else 127.0.0.1:8001)",
    )
    parser.add_argument(
        "--timeout-s", type=float, default=None, metavar="S", help="give up after this (never)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


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
