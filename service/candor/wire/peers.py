"""Who asks, as far as the connection tells: the host, and the port that tells connections apart.

The host is all that a caller cannot choose as it likes. Behind a proxy it is the proxy's.
"""

from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from candor.engine.share import Share

__all__ = ["grpc_share", "share_at"]

_MAPPED = "::ffff:"
_CONNECTIONS: Final = 4096
"""That are remembered: a connection makes many calls."""


@lru_cache(_CONNECTIONS)
def grpc_share(peer: str) -> Share:
    """Read what gRPC calls a peer: `ipv4:10.0.0.7:5123`, `ipv6:%5B::1%5D:5123`, `unix:`."""
    scheme, _, place = unquote(peer).partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return Share(peer)
    host, _, port = place.rpartition(":")
    return share_at(host.strip("[]"), port)


def share_at(host: str, port: int | str) -> Share:
    """One who asks from here; an IPv4 address is the same over both protocols."""
    return Share(host.removeprefix(_MAPPED), str(port))
