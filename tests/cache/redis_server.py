"""A real redis-server to mistreat, and a proxy that makes one slow."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import redis


def binary() -> str:
    """The redis-server to run; its absence is a failure, not a reason to skip."""
    named = os.environ.get("CANDOR_REDIS_SERVER") or shutil.which("redis-server")
    if named is None or not Path(named).exists():
        raise RuntimeError(
            f"no redis-server at {named!r}: install it (apt-get install redis-server), put it on "
            "PATH, or name it in CANDOR_REDIS_SERVER"
        )
    return named


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One redis-server process on a port of its own, without persistence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis[bytes]":
        """A plain synchronous client, to look behind the cache."""
        return redis.Redis(port=self.port, socket_timeout=60)

    def start(self, *arguments: str) -> None:
        """Start it and wait until it answers."""
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--repl-diskless-sync-delay", "0"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder), *arguments]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.RedisError:
                if self.process.poll() is not None or time.monotonic() > until:
                    text = (self.folder / "redis.log").read_text()
                    raise RuntimeError(f"redis-server did not start:\n{text}") from None
                time.sleep(0.01)

    def kill(self) -> None:
        """End it as a crash would: no goodbye to anyone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Proxy:
    """Forwards bytes to a Redis, each answer late by `delay_s`; None swallows the answers.

    Where there are `turns`, each answer takes one besides, in the order in which they came.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.delay_s: float | None = 0.0
        self.turns: asyncio.Semaphore | None = None
        self.answers = 0
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side ends it."""
        self.connections += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pumps = [
            asyncio.create_task(self._pump(reader, inner_writer, late=False)),
            asyncio.create_task(self._pump(inner_reader, writer, late=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (inner_writer, writer):
                end.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool
    ) -> None:
        while data := await reader.read(65536):
            if late:
                self.answers += 1
                if self.turns is not None:
                    await self.turns.acquire()
                if self.delay_s is None:
                    await asyncio.Event().wait()
                await asyncio.sleep(self.delay_s or 0)
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of the Redis at this port."""
    made = Proxy(port)
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.handle(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)
        # A task that is cancelled before it began has no `finally` of its own.
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0.01)  # transports close their sockets in a later turn of the loop
