"""What the exit codes mean."""

from types import MappingProxyType
from typing import NamedTuple

from candor.errors import CandorError

__all__ = ["EXITS", "Exit", "UsageError", "exit_code"]


class UsageError(Exception):
    """The command line asks for something that cannot be; nothing was sent."""


class Exit(NamedTuple):
    """An exit code and what it tells a script."""

    code: int
    meaning: str


EXITS: tuple[Exit, ...] = (
    Exit(0, "done"),
    Exit(1, "refused or failed; the message says why, and the same call will fail again"),
    Exit(2, "wrong command line"),
    Exit(3, "no service could be reached"),
    Exit(4, "the service was busy or the time ran out; worth another try"),
    Exit(130, "interrupted"),
)

_BY_KIND = MappingProxyType(
    {"unavailable": 3, "overloaded": 4, "deadline_exceeded": 4, "cancelled": 4}
)


def exit_code(error: UsageError | CandorError | OSError) -> int:
    """The exit code that an error ends with."""
    if isinstance(error, UsageError):
        return 2
    return _BY_KIND.get(error.kind, 1) if isinstance(error, CandorError) else 1
