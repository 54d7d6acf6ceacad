"""A real Prometheus that asks a real candor, with the rules that we ship."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serving import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"


@dataclass(frozen=True)
class Prometheus:
    """One that runs; `url` without a trailing slash."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The data that the HTTP API answers."""
        asked = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(asked, timeout=60) as page:  # noqa: S310
            answer = json.load(page)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression comes to now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found


@contextmanager
def watching(folder: Path, targets: list[str]) -> Iterator[Prometheus]:
    """Start Prometheus as we configure it, but for who is asked, and how often: each second.

    Args:
        folder: an empty one, for its data.
        targets: host:port of what the job `candor` asks.
    """
    program = shutil.which("prometheus")
    assert program, "prometheus is missing; `make setup` brings it from Debian's package"
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    # As the Prometheus operator labels what runs in a cluster.
    labels = {"namespace": "candor", "pod": "candor-0"}
    config["scrape_configs"] = [
        {"job_name": "candor", "static_configs": [{"targets": targets, "labels": labels}]}
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        found = Prometheus(f"http://{address}")
        wait_for(lambda: found.query('up{job="candor"} == 1'), folder / "log")
        yield found
    finally:
        process.terminate()
        process.wait(timeout=120)


def wait_for(what: Any, log: Path, seconds: float = 120) -> Any:
    """Call until it answers something that is true; connections refused count as not yet."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := what():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
