"""From settings to what stands at the edges of the process: the cache, TLS, and the ports.

As `app`, it knows settings; unlike `app`, it starts nothing that has to be stopped in an order.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candor.engine.digest import cache_secret
from candor.engine.jobs.asker import Asker
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.keeper import Keeper
from candor.engine.jobs.ledger import Jobs
from candor.engine.jobs.lives import Kept
from candor.engine.jobs.memory import Bounds, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.shelf import Shelf
from candor.engine.redis_cache import RedisCache
from candor.engine.redis_client import RedisClient, open_redis
from candor.engine.redis_locks import RedisLocks
from candor.engine.tiers import Tiers, memory_tier
from candor.errors import InvalidOption
from candor.metrics import Metrics
from candor.settings import Settings
from candor.spans import Tracer
from candor.wire.call import Frame
from candor.wire.http import http_app, metrics_app, serving_http
from candor.wire.keys import KeyRing
from candor.wire.replays import Replays
from candor.wire.rest import rest_routes
from candor.wire.server import Connections, GrpcServer, start_grpc, start_health
from candor.wire.services import Services
from candor.wire.tls import TlsFiles, TlsPorts

__all__ = [
    "Doors",
    "open_cache",
    "open_doors",
    "open_frame",
    "open_jobs",
    "open_keys",
    "open_replays",
    "open_tls",
    "secret_material",
]

_JOB_PATIENCE: Final = 20
"""How much longer than the cache jobs wait for Redis."""

_REPLAYED: Final = 8
"""One part in so many of the cache's memory holds answers as they were written."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The ports, open: each as host and port, as bound (never port 0).

    Attributes:
        rpc: the gRPC server, which is stopped first and by hand: it drains.
        health: "" where there is no port for it.
    """

    rpc: GrpcServer
    http: str
    metrics: str
    health: str


@asynccontextmanager
async def open_doors(
    settings: Settings, services: Services, tls: TlsPorts | None
) -> AsyncGenerator[Doors, None]:
    """Listen on every port while the block runs; gRPC's own is the block's to stop.

    Raises:
        OSError: an address that cannot be bound.
    """
    readiness, registry = services.readiness, services.frame.metrics.registry
    async with AsyncExitStack() as stack:
        # Probes are answered for as long as anything is.
        health = ""
        if settings.health_address:
            probed = await start_health(settings.health_address, services)
            stack.push_async_callback(probed.stop, 0)
            health = probed.address
        http = await stack.enter_async_context(
            serving_http(
                http_app(readiness, rest_routes(services)),
                settings.http_address,
                tls.http_context() if tls else None,
            )
        )
        scrape = await stack.enter_async_context(
            serving_http(metrics_app(readiness, registry), settings.metrics_address)
        )
        credentials = tls.grpc_credentials() if tls else None
        rpc = await start_grpc(
            settings.grpc_address,
            services,
            credentials,
            reflects=settings.reflection,
            connections=Connections(
                settings.keepalive_s,
                settings.max_connection_age_s,
                settings.max_connection_age_grace_s,
            ),
        )
        yield Doors(rpc, http, scrape, health)


def open_tls(settings: Settings) -> TlsPorts | None:
    """TLS, where a certificate is named.

    Raises:
        InvalidOption: a file is missing, or not what it should be.
    """
    given = {name: getattr(settings, name) for name in ("tls_cert", "tls_key", "tls_client_ca")}
    if not any(given.values()):
        return None
    for name in ("tls_cert", "tls_key"):
        if not given[name]:
            others = " and ".join(other for other, path in given.items() if path)
            raise InvalidOption(f"{name} is empty, but {others} is given; TLS needs both")
    client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
    return TlsPorts(TlsFiles(Path(settings.tls_cert), Path(settings.tls_key), client_ca))


def open_keys(settings: Settings) -> KeyRing | None:
    """The keys that callers have to show, where a file of them is named.

    Raises:
        InvalidOption: it cannot be read, or says something that there is not.
    """
    return KeyRing(Path(settings.api_keys_file)) if settings.api_keys_file else None


def open_frame(
    settings: Settings, metrics: Metrics, keys: KeyRing | None, tracer: Tracer | None
) -> Frame:
    """What all calls share."""
    return Frame(
        metrics,
        settings.max_message_bytes,
        keys,
        settings.max_json_bytes,
        tracer=tracer,
        slow_s=settings.slow_ms / 1000,
        log_share=settings.log_share,
    )


def open_cache(settings: Settings, metrics: Metrics, secret: bytes) -> Tiers:
    """The tiers of the cache; connects to nothing yet.

    Raises:
        InvalidOption: `redis_url` is none, or `redis_password_file` cannot be read.
    """
    max_bytes = settings.cache_memory_bytes - _replay_bytes(settings)
    memory = memory_tier(max_bytes, settings.cache_ttl_s)
    redis, locks = None, None
    if settings.redis_url:
        timeout_s = settings.redis_timeout_ms / 1000
        client = _redis(settings, timeout_s)
        redis = RedisCache(
            client,
            metrics,
            namespace=settings.cache_namespace,
            ttl_s=settings.cache_ttl_s,
            timeout_s=timeout_s,
        )
        if settings.cache_lock:
            locks = RedisLocks(
                client, metrics, namespace=settings.cache_namespace, timeout_s=timeout_s
            )
    return Tiers(memory, redis, metrics, secret, locks)


def open_replays(settings: Settings, metrics: Metrics, cache: Tiers) -> Replays:
    """Answers that are given again as they were written, in a part of the cache's memory."""
    return Replays(cache, metrics, _replay_bytes(settings), settings.cache_ttl_s)


@asynccontextmanager
async def open_jobs(settings: Settings, metrics: Metrics) -> AsyncGenerator[Jobs, None]:
    """The jobs of this server while the block runs, with a connection of their own to Redis.

    Raises:
        InvalidOption: as `open_cache`.
    """
    secret = cache_secret(secret_material(settings))
    bounds = Bounds(settings.job_limit, settings.job_memory_bytes, settings.job_ttl_s)
    memory = Memory(bounds, metrics)
    kept = None
    if settings.redis_url:
        # Answers of many megabytes take their time, and nobody's request waits for them.
        timeout_s = _JOB_PATIENCE * settings.redis_timeout_ms / 1000
        client, namespace = _redis(settings, timeout_s), settings.cache_namespace
        asker = Asker(client, timeout_s=timeout_s)
        shelf = Shelf(asker, namespace=namespace, ttl_s=settings.job_ttl_s)
        docket = Docket(asker, namespace=namespace)
        reader = Reader(shelf, docket, metrics, secret)
        keeper = Keeper(shelf, docket, memory, reader, secret=secret, lost_s=settings.job_lost_s)
        kept = Kept(shelf, docket, reader, keeper)
    jobs = Jobs(memory, kept, metrics, slots=settings.workers, secret=secret)
    try:
        yield jobs
    finally:
        await jobs.close()


def secret_material(settings: Settings) -> bytes:
    """What the secret of the cache's keys is derived from.

    Raises:
        InvalidOption: `cache_key_file` cannot be read.
    """
    path = _readable("cache_key_file", settings.cache_key_file)
    return path.read_bytes() if path else settings.cache_namespace.encode()


def _replay_bytes(settings: Settings) -> int:
    return settings.cache_memory_bytes // _REPLAYED


def _redis(settings: Settings, timeout_s: float) -> RedisClient:
    try:
        password_file = _readable("redis_password_file", settings.redis_password_file)
        return open_redis(settings.redis_url, timeout_s, password_file)
    except ValueError as error:
        # The URL may hold a password: it is not repeated.
        raise InvalidOption(f"redis_url is not one that Redis understands: {error}") from error


def _readable(setting: str, given: str) -> Path | None:
    """The file, where one is named; that it can be read is found out now and not at midnight."""
    if not given:
        return None
    try:
        Path(given).read_bytes()
    except OSError as error:
        raise InvalidOption(f"{setting} '{given}' cannot be read: {error.strerror}") from error
    return Path(given)
