"""Incidents played through: what predictions notice of each, 20 a second all the while."""

import asyncio
import json
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from benchmarks.serving.load import loads, stage
from benchmarks.serving.processes import MODELS, Service, service
from benchmarks.serving.rows import Row
from candor.cli.loading.pace import Open
from candor.cli.loading.summary import Summary

__all__ = ["broken_model", "log_full", "slow_clients"]

_RATE = Open(20, 20)
_SLOW = 200


def broken_model(seconds: float) -> Iterator[Row]:
    """A new version that is half a file is loaded while the old one is asked."""
    said = ""

    async def break_it(running: Service) -> None:
        nonlocal said
        await asyncio.sleep(seconds / 2)
        version = Path(folder) / "photos" / "2"
        version.mkdir()
        whole = (MODELS / "photos" / "1" / "model.onnx").read_bytes()
        (version / "model.onnx").write_bytes(whole[: len(whole) // 2])
        said = await asyncio.to_thread(_load, running.http_url)

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(MODELS / "photos", Path(folder) / "photos")
        with service(Path(folder), repository_mode="explicit") as running:
            _load(running.http_url)
            summary = asyncio.run(_beside(running, seconds, break_it))
    yield _row(f"a broken version is loaded; the service says: {said}", summary)


def slow_clients(seconds: float) -> Iterator[Row]:
    """Two hundred connections that send a byte a second, half to each port."""

    async def dawdle(running: Service) -> None:
        sockets = []
        for number in range(_SLOW):
            address = running.target if number % 2 else running.http_url.removeprefix("http://")
            host, _, port = address.rpartition(":")
            sockets.append(socket.create_connection((host, int(port))))
        for byte in (b"PRI * HTTP/2.0" * 10)[: max(int(seconds) - 1, 1)]:
            for one in sockets:
                try:
                    one.send(bytes([byte]))
                except OSError:
                    continue  # the service hung up, as it may
            await asyncio.sleep(1)
        for one in sockets:
            one.close()

    with service() as running:
        yield _row(
            f"{_SLOW} connections send a byte a second",
            asyncio.run(_beside(running, seconds, dawdle)),
        )


def log_full(seconds: float) -> Iterator[Row]:
    """The disk behind the log is full: every write of it fails."""

    async def nothing(_: Service) -> None:
        return

    with service(log=Path("/dev/full")) as running:
        yield _row(
            "the disk behind the log is full", asyncio.run(_beside(running, seconds, nothing))
        )


async def _beside(
    running: Service, seconds: float, incident: Callable[[Service], Awaitable[None]]
) -> Summary:
    async with loads(running.target, seconds, "photos") as (predict,):
        summary, _ = await asyncio.gather(stage(predict, _RATE), incident(running))
        return summary


def _load(url: str) -> str:
    """Ask for the newest version of the model; what the service says to it."""
    request = urllib.request.Request(  # noqa: S310 - our own service
        f"{url}/v2/repository/models/photos/load", data=b"{}", method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return f"{response.status}"
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"])


def _row(what: str, summary: Summary) -> Row:
    p99 = summary.percentiles_ms[99.0]
    return Row(
        what, f"{summary.n_ok} of {summary.n_due} predictions answered, p99 {p99:.1f} ms",
        "", "", "all",
    )  # fmt: skip
