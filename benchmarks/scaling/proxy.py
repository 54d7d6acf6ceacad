"""What haproxy spends on a request: ours, with the one replica that is there behind it."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.processes import CLIENT_CORE, ROOT, Service, free_port, pinned
from candor.client import Client

__all__ = ["before"]

CONFIG = ROOT / "deploy" / "proxy" / "haproxy.cfg"


@contextmanager
def before(running: Service) -> Iterator[tuple[str, int]]:
    """Start it on the callers' core: where it listens, and its process."""
    program = shutil.which("haproxy")
    if program is None:
        raise SystemExit("no haproxy: `make setup` brings it from Debian's package")
    door = f"127.0.0.1:{free_port()}"
    text = CONFIG.read_text("utf-8").replace("bind :8001", f"bind {door}")
    # One replica at a known place: no names, no checks.
    text = re.sub(r"\n    default-server.*|\n    server candor[2-8] .*", "", text)
    text = re.sub(
        r"\n    server candor1 .*", f"\n    server candor1 {running.target} proto h2", text
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        log = Path(folder) / "log"
        process = pinned([program, "-db", "-f", str(file)], CLIENT_CORE, log)
        try:
            with Client(door) as client:
                client.wait_ready(20)
            yield door, process.pid
        finally:
            process.kill()
            process.wait()
