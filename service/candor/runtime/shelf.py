"""What the store knows of each model: its versions, the state of each, and which one is served."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from candor.errors import InvalidModel
from candor.runtime.repository import Folder

__all__ = ["Entry", "Shelf", "State", "listed", "loaded", "model_of", "unavailable", "unloaded"]

_LOG = logging.getLogger(__name__)

M = TypeVar("M")

State = Literal["ready", "unloaded", "unavailable"]


@dataclass(frozen=True, slots=True)
class Entry(Generic[M]):
    """One version of a model.

    Attributes:
        version: "" where the model's folder holds none.
        state: `unloaded` is on disk and loads when asked for; `unavailable` is broken.
        reason: why it is not ready; "" where it is.
        model: None unless ready.
    """

    name: str
    version: str
    state: State
    reason: str = ""
    model: M | None = None


@dataclass(frozen=True, slots=True)
class Shelf(Generic[M]):
    """The versions of one model: what is known of each, where it lies, and which is served.

    `newest` is the one that was tried last; it is not `served` where it turned out broken. Nothing
    is served, "", where the model was unloaded.
    """

    newest: str
    served: str
    entries: Mapping[str, Entry[M]]
    folders: Mapping[str, Folder]


def loaded(shelves: Iterable[Shelf[M]]) -> Iterator[M]:
    """The models in memory."""
    for shelf in shelves:
        yield from (entry.model for entry in shelf.entries.values() if entry.model is not None)


def unavailable(name: str, version: str, reason: str) -> Entry[M]:
    """A version that is broken."""
    _LOG.error("model is broken", extra={"model": name, "version": version, "reason": reason})
    return Entry(name, version, "unavailable", reason)


def unloaded(name: str, version: str) -> Entry[M]:
    """An older version, on disk only."""
    return Entry(name, version, "unloaded", "a newer version is served; loads when asked for")


def model_of(entry: Entry[M]) -> M:
    """The model.

    Raises:
        InvalidModel: it is broken; the message says how.
    """
    if entry.model is None:
        raise InvalidModel(f"model '{entry.name}' cannot be served: {entry.reason}")
    return entry.model


def listed(names: Iterable[str]) -> str:
    """The names there are, as the end of a sentence."""
    every = sorted(names)
    shown = every[:20]
    more = f" and {len(every) - len(shown)} more" if len(every) > len(shown) else ""
    return f"there are {', '.join(shown)}{more}" if shown else "there are none"
