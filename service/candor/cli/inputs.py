"""What stands on the command line as a payload: pictures, texts or tensors, never a mixture."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from candor.cli.exits import UsageError
from candor.result import Array, Images, Payload, Tensors, Texts

__all__ = ["Rows", "add_input_arguments", "read_rows"]

_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True, slots=True)
class Rows:
    """The payload, and a name for each of its rows that can stand in a file name.

    Attributes:
        names: one a row.
        payload: pictures, texts or tensors.
    """

    names: tuple[str, ...]
    payload: Payload


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names the rows: files, --text, --input."""
    rows = parser.add_argument_group("what to send (each picture or text is one row)")
    rows.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="pictures (.jpg .png .webp), or one .npy",
    )
    rows.add_argument(
        "--text", action="append", default=[], metavar="TEXT", help="a text; may be repeated"
    )
    rows.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="a tensor for the input of this name, rows first; may be repeated",
    )


def read_rows(args: argparse.Namespace, only_input: str | None) -> Rows:
    """Read what the arguments name.

    Args:
        args: with `files`, `text` and `input`.
        only_input: the model's only input, for a .npy file without a name; None if it has several.

    Raises:
        UsageError: nothing, a mixture, or a file that cannot be read as what its name says.
    """
    tensors = [file for file in args.files if file.suffix == ".npy"]
    pictures = [file for file in args.files if file.suffix.lower() in _PICTURES]
    odd = [str(file) for file in args.files if file not in tensors and file not in pictures]
    if odd:
        raise UsageError(f"{odd[0]} is neither a picture (.jpg, .png, .webp) nor a tensor (.npy)")
    if sum(map(bool, (pictures, args.text, tensors or args.input))) != 1:
        raise UsageError("name pictures, or texts (--text), or tensors (.npy): one of the three")
    if pictures:
        return Rows(_names(pictures), Images(tuple(_bytes(file) for file in pictures)))
    if args.text:
        names = tuple(f"text-{number}" for number in range(1, len(args.text) + 1))
        return Rows(names, Texts(tuple(args.text)))
    return _tensors(tensors, args.input, only_input)


def _names(files: Sequence[Path]) -> tuple[str, ...]:
    """File names without endings; a number behind those that come twice."""
    names: list[str] = []
    for file in files:
        count = sum(name == file.stem or name.startswith(f"{file.stem}~") for name in names)
        names.append(f"{file.stem}~{count + 1}" if count else file.stem)
    return tuple(names)


def _tensors(files: list[Path], named: list[str], only_input: str | None) -> Rows:
    by_name: dict[str, Array] = {}
    if files:
        if named or len(files) > 1:
            raise UsageError("several tensors need names: --input NAME=FILE.npy for each")
        if only_input is None:
            raise UsageError("the model has several inputs: name them by --input NAME=FILE.npy")
        by_name[only_input] = _array(files[0])
    for pair in named:
        name, separator, file = pair.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"--input is '{pair}'; it has the form NAME=FILE.npy")
        by_name[name] = _array(Path(file))
    rows = min(array.shape[0] if array.ndim else 0 for array in by_name.values())
    return Rows(tuple(f"row-{number}" for number in range(1, rows + 1)), Tensors(by_name))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _array(file: Path) -> Array:
    try:
        loaded = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{file} is not a .npy file that can be read: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise UsageError(f"{file} holds several arrays; save one array by numpy.save")
    return loaded
