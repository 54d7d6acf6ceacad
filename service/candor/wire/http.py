"""The HTTP side: the ports, health for probes that speak no gRPC, and metrics.

uvicorn runs inside the process's own loop; signals stay with the app.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from typing_extensions import override

from candor.wire.health import Readiness

__all__ = ["http_app", "metrics_app", "serving_http"]

_GRACE_S = 2


def http_app(readiness: Readiness, routes: Iterable[Route] = ()) -> Starlette:
    """The application of the HTTP port: the probes, and what else is served there."""
    return Starlette(
        routes=[*_probes(readiness), *routes], exception_handlers={HTTPException: _nothing_here}
    )


async def _nothing_here(request: Request, error: Exception) -> Response:
    """In JSON, as everything else that goes wrong: no such page, or not by this verb."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = "does not take" if status == 405 else "has nothing for"
    message = f"candor {what} {request.method} {request.url.path[:200]}"
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": message}, status, headers)


def metrics_app(readiness: Readiness, registry: CollectorRegistry) -> Starlette:
    """The application of the metrics port: /metrics beside the probes."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        content = await asyncio.to_thread(encode, registry)
        return Response(content, headers={"content-type": content_type})

    return Starlette(routes=[Route("/metrics", metrics), *_probes(readiness)])


@asynccontextmanager
async def serving_http(
    app: ASGIApp, address: str, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str, None]:
    """Serve an application while the block runs; yields the address that was bound.

    Raises:
        OSError: the address cannot be bound.
    """
    host, _, port = address.rpartition(":")
    listener = _listen(host.strip("[]"), int(port))
    # An exhausted connection or a stray log line must not end or litter the process: no lifespan,
    # no signals, no log configuration of its own.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # whoever asks would say themselves who they are
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    config.ssl = tls
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would replace the app's."""

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Bound here, so that a port in use is an error of the caller's and not the end of the process.
    return socket.create_server((host, port), family=family, backlog=2048)


def _probes(readiness: Readiness) -> list[Route]:
    async def live(_: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_: Request) -> Response:
        status = 200 if readiness.ready else 503
        return PlainTextResponse(f"{readiness.state}\n", status_code=status)

    return [Route("/healthz/live", live), Route("/healthz/ready", ready)]
