"""Read `model.toml`: what a model is, how its input is prepared, and what to explain by default.

Invariant: a `Manifest` is complete and consistent in itself; whether it fits the graph is found out
where the two meet (`runtime.preprocess.plan`). A model without a manifest has an empty one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from candor.errors import InvalidModel
from candor.runtime import toml
from candor.runtime.inputs import InputSection, read_input

__all__ = ["Activation", "BatchingSection", "ExplainDefaults", "Manifest", "load_manifest"]

Activation = Literal["softmax", "sigmoid", "none"]

_FILE_NAME = "model.toml"
_MAX_FILE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ExplainDefaults:
    """What to explain where the caller does not say.

    Attributes:
        layer: whose activation a class activation map weighs.
        embedding: the value that gradients are taken to where the input holds token ids.
        baseline: "feature absent", in the model's input space.
        output: which of the model's outputs is explained.
    """

    layer: str | None = None
    embedding: str | None = None
    baseline: float | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class BatchingSection:
    """How requests share runs; None: as the settings say.

    Attributes:
        max_batch_size: rows of a run that several requests share; 1: none is shared.
        max_queue_delay_ms: how long a request may wait for others, though it could run.
    """

    max_batch_size: int | None = None
    max_queue_delay_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `model.toml` says; every field has a default.

    Attributes:
        labels: of the classes, in order; (): classes have numbers only.
        activation: what turns scores into probabilities; none: they are; None: as the graph tells.
        input: how encoded inputs are prepared; None: the model takes tensors only.
    """

    title: str = ""
    licence: str = ""
    source: str = ""
    labels: tuple[str, ...] = ()
    activation: Activation | None = None
    input: InputSection | None = None
    explain: ExplainDefaults = ExplainDefaults()
    batching: BatchingSection = BatchingSection()


def load_manifest(folder: Path) -> Manifest:
    """Read the folder's `model.toml`, or return an empty manifest where there is none.

    Raises:
        InvalidModel: not TOML, an unknown key, a wrong value; the message gives the key's path.
    """
    path = folder / _FILE_NAME
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_FILE_BYTES else None
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise InvalidModel(f"{path} cannot be read: {error.strerror}") from error
    if content is None:
        raise InvalidModel(f"{path} has more than {_MAX_FILE_BYTES} bytes")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"{path} is not TOML: {error}") from error
    return Manifest(**toml.read_table(table, f"{path}: ", _manifest_parsers(folder)))


def _manifest_parsers(folder: Path) -> Mapping[str, toml.Parser]:
    return {
        "title": toml.string,
        "licence": toml.string,
        "source": toml.string,
        "labels": toml.strings,
        "activation": toml.one_of("softmax", "sigmoid", "none"),
        "input": lambda value, at: read_input(value, at, folder),
        "explain": lambda value, at: ExplainDefaults(
            **toml.read_table(value, f"{at}.", _EXPLAIN_PARSERS)
        ),
        "batching": lambda value, at: BatchingSection(
            **toml.read_table(value, f"{at}.", _BATCHING_PARSERS)
        ),
    }


_EXPLAIN_PARSERS: Mapping[str, toml.Parser] = {
    "layer": toml.string,
    "embedding": toml.string,
    "baseline": toml.number,
    "output": toml.string,
}

_MAX_BATCH_SIZE: Final = 4096
_MAX_DELAY_MS: Final = 10_000


def _delay_ms(value: Any, at: str) -> float:
    """Take milliseconds; a mistaken unit would hold every request up."""
    found = toml.number(value, at)
    if not 0 <= found <= _MAX_DELAY_MS:
        raise InvalidModel(f"{at} must be from 0 to {_MAX_DELAY_MS} ms, not {found:g}")
    return found


_BATCHING_PARSERS: Mapping[str, toml.Parser] = {
    "max_batch_size": toml.whole(1, _MAX_BATCH_SIZE),
    "max_queue_delay_ms": _delay_ms,
}
