"""Where the data sets lie: the `CANDOR_DATA` folder, which this package only ever reads."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CANDOR_DATA"


class MissingDataError(Exception):
    """A data set is not where it was looked for; the message names the file."""


def data_root() -> Path:
    """Return the folder that holds the data sets.

    Raises:
        MissingDataError: `CANDOR_DATA` is unset or names no folder.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        raise MissingDataError(f"{VARIABLE} is not set: it must name the folder of the data sets")
    root = Path(value).expanduser()
    if not root.is_dir():
        raise MissingDataError(f"{VARIABLE} names {value}, which is not a folder")
    return root


def required(root: Path, relative: str) -> Path:
    """Return `root / relative`, a file that has to exist.

    Raises:
        MissingDataError: there is no such file.
    """
    path = root / relative
    if not path.is_file():
        raise MissingDataError(f"{relative} is missing from the data folder {root}")
    return path
