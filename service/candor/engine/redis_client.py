"""From a URL to a client of Redis: one server, a master that Sentinels know of, or a cluster.

    redis://[[user]:password@]host[:port][/database]
    unix://[[user]:password@]/path/to/socket[?db=database]
    redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]
    redis+cluster://[[user]:password@]host[:port][,host[:port]...]

`rediss` in the place of `redis` is TLS. What redis-py reads from a query is read
(`?ssl_ca_certs=/path/ca.pem`), and of Sentinels with a password of their own
`sentinel_username` and `sentinel_password`.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from redis._parsers import AsyncCommandsParser
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError
from typing_extensions import override

__all__ = ["FAILURES", "RedisClient", "heeded", "open_redis"]

RedisClient: TypeAlias = Redis | RedisCluster
T = TypeVar("T")

FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Of Redis, as its client has them; that of a cluster no node answers is no RedisError there."""

_CONNECTIONS: Final = 32
# Those of Sentinel and of clusters do not wait for one that is free, they fail: as many as there
# may be requests in the house.
_MANY: Final = 512
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}


def open_redis(url: str, timeout_s: float = 0.1, password_file: Path | None = None) -> RedisClient:
    """A client that connects on first use and never retries.

    Args:
        url: as the module says.
        timeout_s: for connecting and for each read, which is what the worst request loses.
        password_file: read for every connection, so that a password may change.

    Raises:
        ValueError: not a Redis URL, or a password in both.
    """
    parts = urlsplit(url)
    scheme, _, topology = parts.scheme.partition("+")
    if topology and (scheme not in ("redis", "rediss") or topology not in _PORTS):
        raise ValueError(
            f"there is no '{parts.scheme}'; there are redis, rediss, unix, and redis or rediss "
            "with +sentinel or +cluster"
        )
    hosts = _hosts(parts, _PORTS[topology]) if topology else ()
    # As if there were one host, so that redis-py reads the rest.
    options: dict[str, Any] = dict(parse_url(_single(parts, scheme) if topology else url))
    options |= {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,  # nothing of RESP3 is used, and its HELLO costs a connection a round trip
        "client_name": "candor",
    }
    if password_file is not None:
        if options.pop("password", None) is not None:
            raise ValueError("a password stands in the URL, and another in a file; expected one")
        options["credential_provider"] = _FromFile(password_file, options.pop("username", None))
    if topology == "sentinel":
        return _by_sentinel(parts, hosts, options)
    if topology == "cluster":
        return _cluster(hosts, options)
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=_CONNECTIONS, timeout=timeout_s, retry=Retry(NoBackoff(), 0), **options
        )
    )


async def heeded(answer: Awaitable[T]) -> T:
    """The answer, unless the task was cancelled while it waited.

    redis-py 8.1 swallows a cancellation that comes while it reads, and gives the answer after all.
    A request would go on for a caller who has left, or beyond its deadline.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    found = await answer
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return found


class _FromFile(CredentialProvider):
    """The password that a file holds at the moment."""

    def __init__(self, path: Path, user: str | None) -> None:
        self._path = path
        self._user = user

    @override
    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationError(f"the password file cannot be read: {error}") from error
        return (self._user, password) if self._user else (password,)

    @override
    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class _Master(Redis):
    """The client of a master, which owns those of the Sentinels that know it."""

    sentinels: Sequence[Redis] = ()

    @override
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in self.sentinels:
            await sentinel.aclose()


class _Commands(AsyncCommandsParser):
    """What commands there are, as any node of a cluster can tell.

    redis-py 8.1 asks the first of them, and has no node at all where that one is dead.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        super().__init__()
        self._cluster = cluster

    @override
    async def initialize(self, node: ClusterNode | None = None) -> None:
        *others, last = dict.fromkeys((node, *self._cluster.get_primaries()))
        for each in others:
            with suppress(*FAILURES):
                await super().initialize(each)
                return
        await super().initialize(last)


def _by_sentinel(
    parts: SplitResult, hosts: Sequence[tuple[str, int]], options: dict[str, Any]
) -> Redis:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("the path names no service; expected redis+sentinel://host:port/service")
    if database and not database.isdecimal():
        raise ValueError(f"'{database}' is no number of a database; expected /service/0")
    own = {name: options[name] for name in options if name.startswith(("socket_", "ssl_"))}
    own |= {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    ssl = _reads_tls(options)
    options |= {"ssl": ssl, "db": int(database or 0), "max_connections": _MANY}
    retry = Retry(NoBackoff(), 0)
    known = Sentinel(  # type: ignore[no-untyped-call]
        hosts, sentinel_kwargs={**own, "ssl": ssl, "retry": retry}, **options
    )
    master: _Master = known.master_for(service, redis_class=_Master, retry=retry)
    master.sentinels = known.sentinels
    return master


def _cluster(hosts: Sequence[tuple[str, int]], options: dict[str, Any]) -> RedisCluster:
    ssl = _reads_tls(options)
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in hosts],
        # Slots without a server are misses; those with one are served.
        require_full_coverage=False,
        retry=Retry(NoBackoff(), 0),
        max_connections=_MANY,
        ssl=ssl,
        **options,
    )
    cluster.commands_parser = _Commands(cluster)
    return cluster


def _reads_tls(options: dict[str, Any]) -> bool:
    """Whether it is TLS; takes out what says so, and the one host that redis-py read."""
    for name in ("host", "port", "db"):
        options.pop(name, None)
    return options.pop("connection_class", None) is not None


def _hosts(parts: SplitResult, default: int) -> tuple[tuple[str, int], ...]:
    found = []
    for each in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{each}")
        if not one.hostname:
            raise ValueError("there is no host; expected host:port, and commas between several")
        found.append((one.hostname, one.port or default))
    return tuple(found)


def _single(parts: SplitResult, scheme: str) -> str:
    user, at, hosts = parts.netloc.rpartition("@")
    first = hosts.partition(",")[0]
    return parts._replace(scheme=scheme, netloc=f"{user}{at}{first}", path="").geturl()
