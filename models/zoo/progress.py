"""The one place where a training run writes to the terminal."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Write a line at once, so that a log can be followed."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
