"""The real service in a process of its own, for as long as a block runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from candor.errors import Unavailable
from candor.settings import ENVIRONMENT_PREFIX

__all__ = ["Running", "running_service"]

_STOP_S = 40.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers.

    Attributes:
        address: of its gRPC port.
        models: what it serves, each with its state.
        started_s: seconds from the start of its process until it was ready.
    """

    address: str
    models: tuple[str, ...]
    started_s: float


@contextmanager
def running_service(model_root: Path, log: Path) -> Iterator[Running]:
    """Start `candor serve` with defaults on free ports of the loopback interface; stop it after.

    Args:
        model_root: the models that it serves.
        log: the file that its log goes to.

    Raises:
        Unavailable: it ended before it was ready; the message holds what it said.
    """
    flags = ["--model-root", str(model_root)]
    for port in ("grpc", "http", "metrics"):
        flags += [f"--{port}-address", "127.0.0.1:0"]
    began = perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program, with our own arguments
            [sys.executable, "-m", "candor", "serve", *flags],
            env={k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)},
            stderr=output,
        )
    try:
        ready = _wait_ready(process, log)
        yield Running(ready["grpc"], tuple(ready["models"]), perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The record of the log that says so, with the addresses as bound."""
    while True:
        code = process.poll()
        text = log.read_text(encoding="utf-8")
        for line in text.splitlines(keepends=True):
            if line.endswith("\n") and '"event": "ready"' in line:
                record: dict[str, Any] = json.loads(line)
                return record
        if code is not None:
            raise Unavailable(f"the service ended with code {code} before it was ready:\n{text}")
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
