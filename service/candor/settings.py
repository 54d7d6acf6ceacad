"""Every setting, once: flag, environment variable, default, unit and help come from this table.

The only reader of the environment. Below `app` nobody sees a `Settings`; each part gets the values
that it needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from candor.engine.cores import eighth_of_memory, usable_cores
from candor.errors import InvalidOption
from candor.values import (
    COMPUTED,
    address,
    address_or_none,
    declared,
    flag,
    milliseconds,
    names,
    not_negative,
    one_of,
    positive,
    seconds,
    share,
)

__all__ = ["ENVIRONMENT_PREFIX", "SETTINGS", "Setting", "Settings", "load_settings"]

ENVIRONMENT_PREFIX = "CANDOR_"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can change. One field a setting; the metadata is the table."""

    model_root: Path = declared(
        Path("models/repository"), Path, "folder of the models, in Triton's layout"
    )
    model_name: str = declared(
        "", str, "name of the model where model_root itself holds a bare model.onnx"
    )
    repository_mode: str = declared(
        "none",
        one_of("none", "poll", "explicit"),
        "none: models stay as at the start; poll: they follow what is on the disk; explicit: they "
        "may be loaded and unloaded on request",
    )
    repository_poll_s: float = declared(
        5.0, seconds, "how often poll looks at the disk; a change counts when seen twice", "s"
    )
    providers: tuple[str, ...] = declared(
        ("cuda", "cpu"),
        names,
        "ONNX Runtime providers in order of preference; absent ones are skipped",
    )
    intra_op_threads: int = declared(1, positive, "threads inside one ONNX Runtime run", "threads")
    workers: int = declared(usable_cores, positive, "ONNX Runtime runs at the same time", "threads")
    max_batch_size: int = declared(
        32,
        positive,
        "rows of a run that waiting requests share, where it is worth it; 1: none is shared",
        "rows",
    )
    max_queue_delay_ms: float = declared(
        0.0, milliseconds, "how long a request may wait for others to share its run", "ms"
    )
    grpc_address: str = declared("127.0.0.1:8001", address, "where gRPC listens")
    http_address: str = declared("127.0.0.1:8000", address, "where HTTP listens")
    metrics_address: str = declared("127.0.0.1:8002", address, "where /metrics listens")
    health_address: str = declared(
        "",
        address_or_none,
        "where gRPC health answers without TLS and without a key, for probes; empty: nowhere else",
    )
    keepalive_s: float = declared(
        120.0, seconds, "how often gRPC asks a quiet client whether it lives; 0: never", "s"
    )
    max_connection_age_s: float = declared(
        1800.0, seconds, "after which a gRPC client is to connect anew, a tenth around; 0: any", "s"
    )
    max_connection_age_grace_s: float = declared(
        600.0, seconds, "what a call of an aged connection has to end, streams too; 0: any", "s"
    )
    tls_cert: str = declared(
        "", str, "PEM file with the server's certificate and its chain; empty: no TLS"
    )
    tls_key: str = declared("", str, "PEM file with that certificate's private key")
    tls_client_ca: str = declared(
        "", str, "PEM file with the authorities of which a caller needs a certificate; empty: none"
    )
    api_keys_file: str = declared(
        "", str, "TOML file of the keys that callers have to show; empty: everybody may call"
    )
    reflection: bool = declared(
        default=True, parse=flag, help_="whether gRPC tells clients without protos what it serves"
    )
    triton_metrics: bool = declared(
        default=False, parse=flag, help_="whether /metrics also has Triton's nv_inference_* names"
    )
    max_message_bytes: int = declared(
        64 * 2**20, positive, "largest message taken or sent, over gRPC and HTTP", "bytes"
    )
    max_json_bytes: int = declared(
        16 * 2**20, positive, "largest JSON taken over HTTP, what is binary not counted", "bytes"
    )
    max_image_pixels: int = declared(
        64 * 10**6, positive, "largest picture decoded, width times height", "pixels"
    )
    max_run_bytes: int = declared(
        eighth_of_memory, not_negative, "memory of one run on CPUs, as estimated; 0: any", "bytes"
    )
    predict_queue: int = declared(
        256, positive, "predictions, CAMs and gradients that may wait", "requests"
    )
    explain_queue: int = declared(
        64,
        not_negative,
        "long explanations in the house beside one for each worker; 0: none waits",
        "requests",
    )
    explain_budget_ms: int = declared(
        0, not_negative, "time after which a long explanation returns its best; 0: none", "ms"
    )
    redis_url: str = declared(
        "", str, "redis://, rediss:// or unix://, +sentinel or +cluster too; empty: memory only"
    )
    redis_password_file: str = declared(
        "", str, "file with Redis' password, read for every connection; empty: as the URL says"
    )
    redis_timeout_ms: int = declared(
        100, positive, "longest wait for one Redis command before a request goes on without", "ms"
    )
    cache_namespace: str = declared("default", str, "separates the tenants of one Redis")
    cache_key_file: str = declared(
        "", str, "file with the secret that keys the cache; empty: derived from the namespace"
    )
    cache_ttl_s: float = declared(86400.0, seconds, "how long an answer stays cached", "s")
    cache_lock: bool = declared(
        default=False,
        parse=flag,
        help_="whether replicas of one Redis compute a long explanation once, by a lock in it",
    )
    cache_memory_bytes: int = declared(
        256 * 2**20, not_negative, "memory tier of the cache; 0 turns it off", "bytes"
    )
    model_memory_bytes: int = declared(
        0,
        not_negative,
        "memory of models and programs, over which idle ones are unloaded until needed; 0: any",
        "bytes",
    )
    job_limit: int = declared(
        64, not_negative, "jobs that wait or run on this server; 0: it takes on none", "jobs"
    )
    job_memory_bytes: int = declared(
        256 * 2**20, positive, "memory of the requests and answers of jobs", "bytes"
    )
    job_ttl_s: float = declared(3600.0, seconds, "how long a job is kept when it has ended", "s")
    job_lost_s: float = declared(
        10.0,
        seconds,
        "how long a server gives Redis no sign of life until others take its jobs over",
        "s",
    )
    traces: bool = declared(
        default=False,
        parse=flag,
        help_="whether requests are traced, as OpenTelemetry's OTEL_* variables say",
    )
    slow_ms: int = declared(
        0, not_negative, "calls that take longer are logged with their stages; 0: none", "ms"
    )
    log_share: float = declared(
        0.0, share, "share of the calls that went well of which a line is logged, 0 to 1"
    )
    drain_s: float = declared(30.0, seconds, "time that work in flight has after SIGTERM", "s")
    log_level: str = declared("info", str.lower, "debug, info, warning or error")


class Setting(NamedTuple):
    """A row of the table, as documentation and the command line need it."""

    name: str
    flag: str
    variable: str
    default: str
    unit: str
    help: str


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _rows() -> tuple[Setting, ...]:
    rows = []
    for item in fields(Settings):
        default = COMPUTED.get(item.default_factory, item.default)
        rows.append(
            Setting(
                item.name,
                "--" + item.name.replace("_", "-"),
                ENVIRONMENT_PREFIX + item.name.upper(),
                _shown(default),
                item.metadata["unit"],
                item.metadata["help"],
            )
        )
    return tuple(rows)


SETTINGS: tuple[Setting, ...] = _rows()


def load_settings(
    flags: Mapping[str, str] = MappingProxyType({}), environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from flags, else environment, else defaults.

    Args:
        flags: setting name to text, only those given on the command line.
        environ: `os.environ` unless given.

    Raises:
        InvalidOption: a value that cannot be read.
    """
    environ = os.environ if environ is None else environ
    parsers = {item.name: item.metadata["parse"] for item in fields(Settings)}
    given: dict[str, Any] = {}
    for setting in SETTINGS:
        source, text = setting.flag, flags.get(setting.name)
        if text is None:
            source, text = setting.variable, environ.get(setting.variable)
        if text is None:
            continue
        try:
            given[setting.name] = parsers[setting.name](text)
        except ValueError as error:
            has_unit = setting.unit and setting.default not in COMPUTED.values()
            unit = f" {setting.unit}" if has_unit else ""
            raise InvalidOption(
                f"{source} is '{text}': {error} ({setting.help}; default {setting.default}{unit})"
            ) from error
    return Settings(**given)
