"""What the command line asks of a suite."""

from pathlib import Path
from typing import NamedTuple

__all__ = ["Asked"]


class Asked(NamedTuple):
    """How much to measure, and where to keep it.

    Attributes:
        out: file for all samples, JSON.
        only: networks whose name contains this.
        rounds: explanations timed of each kind.
        n_samples: of LIME.
        n_pictures: of each data set.
    """

    out: Path
    only: str
    rounds: int
    n_samples: int
    n_pictures: int
