"""Every setting, once: flag, environment variable, default, unit and help come from this table.

The only reader of the environment. Below `app` nobody sees a `Settings`; each part gets the values
that it needs.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from candor.engine.cores import usable_cores
from candor.errors import InvalidOption

__all__ = ["ENVIRONMENT_PREFIX", "SETTINGS", "Setting", "Settings", "load_settings"]

ENVIRONMENT_PREFIX = "CANDOR_"
_COMPUTED = "the cores at hand"


def _whole(text: str, least: int) -> int:
    # Words of our own: Python's speak of literals and bases.
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"expected a whole number of at least {least}")
    return value


def _positive(text: str) -> int:
    return _whole(text, 1)


def _not_negative(text: str) -> int:
    return _whole(text, 0)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10**9:
        raise ValueError("expected a number of seconds, 0 or more")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError("expected at least one name, separated by commas")
    return names


def _address(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected host:port, for example 127.0.0.1:8001")
    return text


_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("expected true or false")
    return _FLAGS[text.lower()]


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse


def _setting(default: object, parse: Callable[[str], object], help_: str, unit: str = "") -> Any:
    metadata = {"parse": parse, "help": help_, "unit": unit}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can change. One field a setting; the metadata is the table."""

    model_root: Path = _setting(
        Path("models/repository"), Path, "folder of the models, in Triton's layout"
    )
    model_name: str = _setting(
        "", str, "name of the model where model_root itself holds a bare model.onnx"
    )
    repository_mode: str = _setting(
        "none",
        _one_of("none", "explicit"),
        "explicit: models may be loaded and unloaded on request; none: they stay as at the start",
    )
    providers: tuple[str, ...] = _setting(
        ("cuda", "cpu"),
        _names,
        "ONNX Runtime providers in order of preference; absent ones are skipped",
    )
    intra_op_threads: int = _setting(1, _positive, "threads inside one ONNX Runtime run", "threads")
    workers: int = _setting(
        usable_cores,
        _positive,
        "ONNX Runtime runs at the same time",
        "threads",
    )
    grpc_address: str = _setting("127.0.0.1:8001", _address, "where gRPC listens")
    http_address: str = _setting("127.0.0.1:8000", _address, "where HTTP listens")
    metrics_address: str = _setting("127.0.0.1:8002", _address, "where /metrics listens")
    triton_metrics: bool = _setting(
        default=False, parse=_flag, help_="whether /metrics also has Triton's nv_inference_* names"
    )
    max_message_bytes: int = _setting(
        64 * 2**20, _positive, "largest message taken or sent, over gRPC and HTTP", "bytes"
    )
    max_image_pixels: int = _setting(
        64 * 10**6, _positive, "largest picture decoded, width times height", "pixels"
    )
    predict_queue: int = _setting(
        256, _positive, "predictions, CAMs and gradients that may wait", "requests"
    )
    explain_queue: int = _setting(
        64, _positive, "long explanations that may wait or be under way", "requests"
    )
    explain_budget_ms: int = _setting(
        0, _not_negative, "time after which a long explanation returns its best; 0: none", "ms"
    )
    redis_url: str = _setting("", str, "redis://, rediss:// or unix:// URL; empty: memory only")
    redis_timeout_ms: int = _setting(
        100,
        _positive,
        "longest wait for one Redis command before the request goes on without",
        "ms",
    )
    cache_namespace: str = _setting("default", str, "separates the tenants of one Redis")
    cache_key_file: str = _setting(
        "", str, "file with the secret that keys the cache; empty: derived from the namespace"
    )
    cache_ttl_s: float = _setting(86400.0, _seconds, "how long an answer stays cached", "s")
    cache_memory_bytes: int = _setting(
        256 * 2**20, _not_negative, "memory tier of the cache; 0 turns it off", "bytes"
    )
    drain_s: float = _setting(30.0, _seconds, "time that work in flight has after SIGTERM", "s")
    log_level: str = _setting("info", str.lower, "debug, info, warning or error")


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
        default = item.default if item.default is not MISSING else _COMPUTED
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
    parsers: dict[str, Callable[[str], object]] = {
        item.name: item.metadata["parse"] for item in fields(Settings)
    }
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
            unit = f" {setting.unit}" if setting.unit and setting.default != _COMPUTED else ""
            raise InvalidOption(
                f"{source} is '{text}': {error} ({setting.help}; default {setting.default}{unit})"
            ) from error
    return Settings(**given)
