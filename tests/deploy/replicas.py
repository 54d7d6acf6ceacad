"""Replicas of candor, each with an address as pods have, behind the haproxy that we ship."""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.names import Names, naming
from serving import ROOT, Server, running

CONFIG = ROOT / "deploy" / "proxy" / "haproxy.cfg"
NAME = "candor"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, whatever the address."""
    probes = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Replicas:
    """Those that run, by address; all have the same ports, as pods of one deployment.

    Attributes:
        environ: CANDOR_ variables of each.
    """

    folder: Path
    model_root: Path
    names: Names
    environ: Mapping[str, str]
    stack: ExitStack
    ports: tuple[int, int] = field(default_factory=lambda: (0, 0))
    by_address: dict[str, Server] = field(default_factory=dict)
    net: str = field(default_factory=lambda: f"127.{random.randrange(1, 255)}.7")

    def add(self, count: int = 1) -> list[str]:
        """Start some, at the same time, and tell the name server; their addresses."""
        first = len(self.by_address) + 1
        addresses = [f"{self.net}.{first + n}" for n in range(count)]
        with ThreadPoolExecutor(count) as threads:
            for address, server in zip(addresses, threads.map(self._start, addresses), strict=True):
                self.by_address[address] = server
                self.names.addresses.add(address)
        return addresses

    def kill(self, address: str) -> None:
        """End one as a crash would; its name stays for a while, as in a cluster."""
        self.by_address[address].process.kill()
        self.by_address[address].process.wait()

    def forget(self, address: str) -> None:
        """Take one from the name."""
        self.names.addresses.discard(address)

    def _start(self, address: str) -> Server:
        folder = self.folder / address
        folder.mkdir()
        grpc, http = self.ports
        own = {
            "CANDOR_GRPC_ADDRESS": f"{address}:{grpc}",
            "CANDOR_HTTP_ADDRESS": f"{address}:{http}",
        }
        starting = running(folder, self.model_root, {**self.environ, **own})
        return self.stack.enter_context(starting)


@contextmanager
def replicas(folder: Path, model_root: Path, environ: Mapping[str, str]) -> Iterator[Replicas]:
    """None yet: `add` starts them; all are stopped with the block."""
    with naming() as names, ExitStack() as stack:
        grpc, http = free_ports(2)
        yield Replicas(folder, model_root, names, environ, stack, (grpc, http))


@contextmanager
def balanced(folder: Path, behind: Replicas) -> Iterator[str]:
    """Start haproxy with our configuration; host:port of its door.

    What the test changes is where it listens, which name server it asks, and the replicas' ports.
    """
    program = shutil.which("haproxy")
    assert program, "haproxy is missing; `make setup` brings it from Debian's package"
    (door,) = free_ports(1)
    grpc, http = behind.ports
    text = CONFIG.read_text("utf-8")
    for ours, here in (
        ("parse-resolv-conf", f"nameserver ours 127.0.0.1:{behind.names.port}"),
        ("bind :8001", f"bind 127.0.0.1:{door}"),
        (f"{NAME}:8001", f"{NAME}:{grpc}"),
        ("check port 8000", f"check port {http}"),
        ("init-addr libc,none", "init-addr none"),
    ):
        assert ours in text, ours
        text = text.replace(ours, here)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-db", "-f", config], stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{door}"
    finally:
        process.terminate()
        process.wait(timeout=120)


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
