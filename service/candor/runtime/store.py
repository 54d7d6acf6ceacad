"""The models being served, by name and version.

Invariants: a broken model never stops another; a model that is replaced stays whole for those who
hold it; looking up a loaded model takes no lock.

The newest version of each model is loaded by `load_all`; an older one when it is first asked for by
its number, in the thread that asks. A version that failed to load is not tried again until `load`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Generic, Literal, TypeVar

from candor.errors import CandorError, InvalidModel, NotFound
from candor.runtime.repository import Folder, find_folders, find_names

__all__ = ["Entry", "State", "Store"]

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
class _Shelf(Generic[M]):
    """The versions of one model: what is known of each, where it lies, and which is served.

    `newest` is the one that was tried last; it is not `served` where it turned out broken.
    """

    newest: str
    served: str
    entries: Mapping[str, Entry[M]]
    folders: Mapping[str, Folder]


class Store(Generic[M]):
    """The models under a root; safe to use from any thread."""

    def __init__(self, root: Path, load: Callable[[Folder], M], *, model_name: str = "") -> None:
        """Remember where to look; nothing is read yet.

        Args:
            root: of the repository.
            load: makes a model from its folder; raises a CandorError where it cannot.
            model_name: how the model is called where the root itself is one.
        """
        self._root = root
        self._load = load
        self._model_name = model_name
        self._shelves: Mapping[str, _Shelf[M]] = {}
        self._loading = Lock()

    def load_all(self) -> tuple[Entry[M], ...]:
        """Load the newest version of every model under the root, anew where it was loaded before.

        Raises:
            InvalidModel: the root is not a folder, or a model without a name.
        """
        with self._loading:
            names = find_names(self._root, self._model_name)
            shelves = {name: self._fill(name, path) for name, path in names.items()}
            self._shelves = shelves
        return self.entries()

    def load(self, name: str) -> M:
        """Load the newest version of one model, anew where it was loaded before.

        What was served before is served on where the new version is broken.

        Raises:
            NotFound: no such folder.
            InvalidModel: the new version is broken.
        """
        with self._loading:
            names = find_names(self._root, self._model_name)
            if name not in names:
                raise NotFound(f"there is no model '{name}'; {_listed(names)}")
            shelf = self._fill(name, names[name])
            self._shelves = {**self._shelves, name: shelf}
        return _model(shelf.entries[shelf.newest])

    def get(self, name: str, version: str = "") -> M:
        """Return a model; "" is the version that is served.

        Blocks while an older version loads that is asked for the first time.

        Raises:
            NotFound: no such model or version; the message lists those there are.
            InvalidModel: it is broken; the message says how.
        """
        shelf = self._shelves.get(name)
        if shelf is None:
            raise NotFound(f"there is no model '{name}'; {_listed(self._shelves)}")
        entry = shelf.entries.get(version or shelf.served)
        if entry is None:
            versions = ", ".join(shelf.folders) or "none"
            raise NotFound(f"model '{name}' has no version '{version}'; it has {versions}")
        if entry.state == "unloaded":
            entry = self._load_version(name, entry.version)
        return _model(entry)

    def loads(self, name: str, version: str = "") -> bool:
        """Whether `get` would first load the model from disk, which takes a thread of its own."""
        shelf = self._shelves.get(name)
        entry = shelf.entries.get(version or shelf.served) if shelf else None
        return entry is not None and entry.state == "unloaded"

    def entries(self) -> tuple[Entry[M], ...]:
        """List every version of every model, by name, then oldest first."""
        shelves = self._shelves
        return tuple(entry for name in sorted(shelves) for entry in shelves[name].entries.values())

    def _load_version(self, name: str, version: str) -> Entry[M]:
        with self._loading:
            shelf = self._shelves.get(name)
            entry = shelf.entries.get(version) if shelf else None
            if shelf is None or entry is None:
                raise NotFound(f"version {version} of model '{name}' has just been removed")
            # another thread may have loaded it while this one waited
            if entry.state == "unloaded":
                entry = self._loaded(shelf.folders[version])
                entries = {**shelf.entries, version: entry}
                self._shelves = {**self._shelves, name: replace(shelf, entries=entries)}
            return entry

    def _fill(self, name: str, path: Path) -> _Shelf[M]:
        """Load the newest version; keep what is loaded of the others."""
        before = self._shelves.get(name)
        known = before.entries if before else {}
        try:
            folders = find_folders(name, path)
        except InvalidModel as error:
            folders = {}
            newest: Entry[M] = _unavailable(name, "", error.message)
        else:
            newest = self._loaded(folders[max(folders, key=int)])
        entries: dict[str, Entry[M]] = {version: _unloaded(name, version) for version in folders}
        entries |= {v: known[v] for v in folders if v in known and known[v].model is not None}
        entries[newest.version] = newest
        served = newest.version
        if newest.model is None and before and known[before.served].model is not None:
            served = before.served
            entries[served] = known[served]
        return _Shelf(newest.version, served, entries, folders)

    def _loaded(self, folder: Folder) -> Entry[M]:
        name, version = folder.name, folder.version
        try:
            return Entry(name, version, "ready", model=self._load(folder))
        except CandorError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - a defect met in one model must not stop others
            _LOG.exception("model met a defect", extra={"model": name, "version": version})
            reason = f"unexpected {type(error).__name__} while it was loaded: {error}"
        return _unavailable(name, version, reason)


def _unavailable(name: str, version: str, reason: str) -> Entry[M]:
    _LOG.error("model is broken", extra={"model": name, "version": version, "reason": reason})
    return Entry(name, version, "unavailable", reason)


def _unloaded(name: str, version: str) -> Entry[M]:
    return Entry(name, version, "unloaded", "a newer version is served; loads when asked for")


def _model(entry: Entry[M]) -> M:
    if entry.model is None:
        raise InvalidModel(f"model '{entry.name}' cannot be served: {entry.reason}")
    return entry.model


def _listed(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:20]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"there are {', '.join(shown)}{more}" if shown else "there are none"
