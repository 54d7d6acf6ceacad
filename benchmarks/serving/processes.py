"""Services, echoes and Redis servers on cores of their own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from candor.client import Client

__all__ = [
    "MODELS",
    "SERVER_CORE",
    "Service",
    "echo",
    "free_port",
    "here",
    "pinned",
    "redis",
    "service",
]

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models" / "repository"
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True, slots=True)
class Service:
    """A candor that runs: where, and its process."""

    target: str
    http_url: str
    process: subprocess.Popen[bytes]


def here() -> None:
    """Keep this process, which sends, off the core on which the service answers."""
    os.sched_setaffinity(0, {CLIENT_CORE})


def pinned(
    command: Sequence[str], core: int, log: Path = Path(os.devnull), **variables: str
) -> subprocess.Popen[bytes]:
    """Start a program on one core; its output is ours to read, its errors go to the log."""
    with log.open("wb") as errors:
        return subprocess.Popen(
            command,
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - a benchmark
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
        )


@contextmanager
def service(
    models: Path = MODELS, log: Path = Path(os.devnull), **settings: str
) -> Iterator[Service]:
    """A candor with one worker on one core; settings by their names."""
    target, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    variables = {
        "CANDOR_MODEL_ROOT": str(models),
        "CANDOR_GRPC_ADDRESS": target,
        "CANDOR_HTTP_ADDRESS": http,
        "CANDOR_METRICS_ADDRESS": "127.0.0.1:0",
        "CANDOR_WORKERS": "1",
    }
    variables |= {f"CANDOR_{name.upper()}": value for name, value in settings.items()}
    process = pinned([sys.executable, "-m", "candor", "serve"], SERVER_CORE, log, **variables)
    try:
        with Client(target) as client:
            client.wait_ready(60)
        yield Service(target, f"http://{http}", process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A redis-server that keeps nothing on disk, on the client's core."""
    binary = os.environ.get("CANDOR_REDIS_SERVER") or shutil.which("redis-server")
    if binary is None:
        raise SystemExit("no redis-server: put it on PATH, or name it in CANDOR_REDIS_SERVER")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            binary,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
        ]
        process = pinned(command, CLIENT_CORE)
        try:
            _until_open(port)
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def echo(size: int) -> Iterator[str]:
    """A server that answers so many bytes at once, in the service's place: its address."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving.echo", str(port), str(size)]
    process = pinned(command, SERVER_CORE)
    try:
        _until_open(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_open(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
