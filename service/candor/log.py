"""One line of JSON a record, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from candor.errors import InvalidOption

__all__ = ["LEVELS", "start_logging"]

LEVELS = ("debug", "info", "warning", "error")

# What `logging` itself puts on a record; all else came by `extra=` and belongs to the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _OWN})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def start_logging(level: str) -> None:
    """Send candor's log to standard error.

    Raises:
        InvalidOption: a level that there is not.
    """
    if level not in LEVELS:
        raise InvalidOption(f"log_level is '{level}'; it is one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger("candor")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
