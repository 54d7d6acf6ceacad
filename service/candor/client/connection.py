"""How the clients connect: TLS, the caller's key, and what is tried again.

Retries are gRPC's own, by its service configuration: it knows which calls never reached a server,
keeps to the deadline, waits as long as the server asks for, and gives up where the server says that
it is no use. Every call of these clients may be repeated: most only ask, a job is submitted under
an id, and one that is cancelled is no more so the second time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import grpc

from candor.errors import InvalidOption

__all__ = ["ATTEMPTS", "Metadata", "Pem", "Tls", "channel_credentials", "channel_options",
           "key_metadata"]  # fmt: skip

Metadata: TypeAlias = tuple[tuple[str, str], ...]
# A file, or what stands in one.
Pem: TypeAlias = str | Path | bytes
Option: TypeAlias = tuple[str, str | int]

ATTEMPTS: Final = 3
"""How often a call is tried, unless told otherwise; gRPC itself tries no more than five times."""

_MOST_ATTEMPTS: Final = 5
# CANCELLED is gRPC's own answer to a call that reaches a server in the instant when it stops. What
# its caller cancels is over, whatever stands here.
_RETRIED: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED")
# What a call has sent is kept until it is answered, or it could not be sent again; gRPC's own
# limit, 256 KiB, is less than one picture as a tensor.
_KEPT_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Tls:
    """A connection that is encrypted, to a server that proves who it is.

    Attributes:
        ca: authorities that are trusted, in PEM; None: those that came with gRPC.
        cert, key: who we are, in PEM, for a server that asks; both or none.
        server_name: whom the certificate has to name, where that is not the host of the target.
    """

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = None
    server_name: str = ""


def channel_credentials(tls: Tls | bool) -> grpc.ChannelCredentials | None:  # noqa: FBT001
    """What gRPC takes; None for a connection in the clear.

    Raises:
        InvalidOption: a file cannot be read, or only one of certificate and key is given.
    """
    if tls is False:
        return None
    given = Tls() if tls is True else tls
    if (given.cert is None) != (given.key is None):
        there, missing = ("key", "cert") if given.cert is None else ("cert", "key")
        raise InvalidOption(f"the client's TLS has a {there}, but no {missing}; it needs both")
    return grpc.ssl_channel_credentials(
        _content("ca", given.ca), _content("key", given.key), _content("cert", given.cert)
    )


def channel_options(attempts: int, tls: Tls | bool = False) -> Sequence[Option]:  # noqa: FBT001, FBT002
    """Options of a channel.

    Args:
        attempts: how often a call is tried, 1 to 5.
        tls: as the client was given it.

    Raises:
        InvalidOption: another number of attempts.
    """
    if not 1 <= attempts <= _MOST_ATTEMPTS:
        raise InvalidOption(f"attempts is {attempts}; expected 1 to {_MOST_ATTEMPTS}")
    options: list[Option] = [
        # The server's limit is the one that counts.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.service_config", json.dumps(_service_config(attempts))),
        # For a single attempt too: gRPC itself sends again what no server has seen, as a call that
        # begins in the instant when its connection is renewed.
        ("grpc.per_rpc_retry_buffer_size", _KEPT_BYTES),
    ]
    if isinstance(tls, Tls) and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def key_metadata(api_key: str) -> Metadata:
    """The header that says who is calling; none for an empty key.

    Raises:
        InvalidOption: something that no key can be. It is not repeated: it may be one, with a typo.
    """
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise InvalidOption("api_key holds blanks, line breaks or letters that no key has")
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()


def _service_config(attempts: int) -> dict[str, object]:
    # Where the target is several replicas, call by call to each in turn, and to none that is away.
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if attempts == 1:
        return config
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": _RETRIED,
    }
    return config | {
        "methodConfig": [{"name": [{}], "retryPolicy": policy}],
        # Where more than a tenth of all calls fails, trying again only makes it worse.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }


def _content(what: str, pem: Pem | None) -> bytes | None:
    if pem is None or isinstance(pem, bytes):
        return pem
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise InvalidOption(f"{what} '{pem}' cannot be read: {error.strerror}") from error
