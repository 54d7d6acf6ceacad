"""A real candor in a process of its own, as an operator starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[1]
REPOSITORY = ROOT / "models" / "repository"

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Server:
    """A candor that runs.

    Attributes:
        grpc_target: host:port for a channel.
        http_url, metrics_url: of the HTTP and the metrics port, without a trailing slash.
        health_target: host:port of the port for probes; "" where there is none.
        process: the server's own.
        log: file that holds its standard error.
    """

    grpc_target: str
    http_url: str
    metrics_url: str
    health_target: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=300)


@contextmanager
def running(
    folder: Path, model_root: Path = REPOSITORY, environ: Mapping[str, str] = _NOTHING
) -> Iterator[Server]:
    """Start a server on free ports and wait until it says that it is ready.

    Args:
        folder: where its log goes.
        model_root: the models that it serves.
        environ: CANDOR_ variables beyond those.
    """
    log = folder / "candor.log"
    variables = {key: value for key, value in os.environ.items() if "CANDOR_" not in key}
    variables |= {
        "CANDOR_MODEL_ROOT": str(model_root),
        "CANDOR_GRPC_ADDRESS": "127.0.0.1:0",
        "CANDOR_HTTP_ADDRESS": "127.0.0.1:0",
        "CANDOR_METRICS_ADDRESS": "127.0.0.1:0",
        "PYTHONPATH": str(ROOT / "service"),
        **environ,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "candor", "serve"], env=variables, stderr=output, cwd=ROOT
        )
    try:
        ready = _wait_ready(process, log)
        yield Server(
            grpc_target=ready["grpc"],
            http_url=f"{'https' if ready['tls'] else 'http'}://{ready['http']}",
            metrics_url=f"http://{ready['metrics']}",
            health_target=ready["health"],
            process=process,
            log=log,
        )
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    seen = 0
    while True:
        written = log.read_text()
        lines = written[: written.rfind("\n") + 1].splitlines()  # the last may be in the making
        for line in lines[seen:]:
            if line.startswith("{") and (record := json.loads(line))["event"] == "ready":
                return record
        seen = len(lines)
        try:
            code = process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"candor serve ended with {code}:\n{log.read_text()}")
