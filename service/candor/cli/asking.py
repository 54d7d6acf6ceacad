"""The flags that say what to explain and how, and from them to the client's arguments."""

import argparse
from collections.abc import Sequence
from typing import Literal, TypedDict

from candor.cli.exits import UsageError
from candor.client.asking import TargetLike
from candor.result import Explained, Images, Payload, Tensors, TrustLevel

__all__ = ["Asked", "add_asking_arguments", "asking_of", "methods_of", "render_of"]


class Asked(TypedDict, total=False):
    """What is asked beside the rows, in the client's words."""

    version: str
    targets: list[list[TargetLike]]
    explained: Explained
    cache: Literal["use", "refresh", "bypass"]
    trust: TrustLevel
    explain_if: str
    budget_ms: float
    render: bool | float | Literal["png", "svg", "html"]


def add_asking_arguments(parser: argparse.ArgumentParser) -> None:
    """Add methods, options, targets, and what else there is to ask."""
    parser.add_argument(
        "--methods", required=True, metavar="A,B", help="cam, grad_cam, gradient, lime, ..."
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METHOD.NAME=VALUE",
        help="an option of a method, for instance lime.n_samples=300; may be repeated",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="CLASS",
        help="label, index, or two joined by '-': why the first rather than the second; may be "
        "repeated (default: the top class of each row)",
    )
    parser.add_argument(
        "--explained", choices=("score", "probability"), help="instead of the method's own choice"
    )
    parser.add_argument(
        "--trust",
        choices=("basic", "full"),
        default="basic",
        help="full: measure deletion, insertion, infidelity and max-sensitivity of each answer, "
        "and compare it with another class's",
    )
    parser.add_argument(
        "--explain-if",
        metavar="CONDITION",
        help="explain only rows whose top class is so probable: 'top_probability<0.6'",
    )
    parser.add_argument("--cache", choices=("use", "refresh", "bypass"), default="use")
    parser.add_argument(
        "--budget-ms", type=float, metavar="MS", help="return the best there is after this time"
    )


def asking_of(args: argparse.Namespace) -> Asked:
    """The arguments that were given; the server's defaults stand for the others."""
    asked: Asked = {"version": args.version, "cache": args.cache, "trust": args.trust}
    if args.target:
        asked["targets"] = [list(args.target)]
    if args.explained:
        asked["explained"] = args.explained
    if args.explain_if is not None:
        asked["explain_if"] = args.explain_if
    if args.budget_ms is not None:
        asked["budget_ms"] = args.budget_ms
    return asked


def render_of(args: argparse.Namespace, payload: Payload, kind: str) -> Asked:
    """What is to be drawn, if anything.

    Args:
        args: of `candor explain`.
        payload: what is sent.
        kind: of the model's rows.
    """
    # of pictures and texts that come as tensors there is nothing to see
    if args.out and (not isinstance(payload, Tensors) or kind in ("series", "several", "tabular")):
        opacity = args.opacity if isinstance(payload, Images) else True
        return {"render": args.format or opacity}
    return {}


def methods_of(names: str, options: Sequence[str]) -> dict[str, dict[str, str]]:
    """Options by method, as text; the client knows their types.

    Raises:
        UsageError: an option that is not METHOD.NAME=VALUE, or of a method that is not asked for.
    """
    methods: dict[str, dict[str, str]] = {
        name.strip(): {} for name in names.split(",") if name.strip()
    }
    if not methods:
        raise UsageError("--methods names no method")
    for option in options:
        key, separator, value = option.partition("=")
        method, dot, name = key.partition(".")
        if not separator or not dot or not name:
            raise UsageError(f"--option is '{option}'; it has the form METHOD.NAME=VALUE")
        if method not in methods:
            raise UsageError(
                f"--option {option} is for '{method}', but --methods asks for {', '.join(methods)}"
            )
        methods[method][name] = value
    return methods
