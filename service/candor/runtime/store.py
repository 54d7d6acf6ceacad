"""The models being served, by name and version.

Invariants: a broken model never stops another; a model that is replaced stays whole for those who
hold it; looking up a loaded model takes no lock.

The newest version of each model is loaded by `load_all`; an older one when it is first asked for by
its number, in the thread that asks. A version that failed to load is not tried again until `load`.
A model that was unloaded is not found until then.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar
from weakref import ReferenceType, ref

from candor.errors import CandorError, InvalidModel, NotFound
from candor.runtime.repository import Folder, find_folders, find_names
from candor.runtime.shelf import (
    Entry,
    Shelf,
    listed,
    loaded,
    model_of,
    unavailable,
    unloaded,
)

__all__ = ["Store"]

_LOG = logging.getLogger(__name__)

M = TypeVar("M")


class Store(Generic[M]):
    """The models under a root; safe to use from any thread."""

    def __init__(
        self,
        root: Path,
        load: Callable[[Folder], M],
        *,
        model_name: str = "",
        on_drop: Callable[[M], None] | None = None,
    ) -> None:
        """Remember where to look; nothing is read yet.

        Args:
            root: of the repository.
            load: makes a model from its folder; raises a CandorError where it cannot.
            model_name: how the model is called where the root itself is one.
            on_drop: told of each model that is no longer served: unloaded, replaced or removed.
                Requests in flight may still hold it.
        """
        self._root = root
        self._load = load
        self._model_name = model_name
        self._on_drop = on_drop
        self._shelves: Mapping[str, Shelf[M]] = {}
        self._leaving: dict[tuple[str, str], ReferenceType[M]] = {}
        self._loading = Lock()
        self._under_way = ""

    def load_all(self) -> tuple[Entry[M], ...]:
        """Load the newest version of every model under the root, anew where it was loaded before.

        Raises:
            InvalidModel: the root is not a folder, or a model without a name.
        """
        with self._loading:
            names = find_names(self._root, self._model_name)
            self._swap({name: self._fill(name, path) for name, path in names.items()})
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
                raise NotFound(f"there is no model '{name}'; {listed(names)}")
            self._under_way = name
            try:
                shelf = self._fill(name, names[name])
            finally:
                self._under_way = ""
            self._swap({**self._shelves, name: shelf})
        return model_of(shelf.entries[shelf.newest])

    def unload(self, name: str) -> None:
        """Serve no version of a model any more, until `load`; who holds one keeps it.

        Raises:
            NotFound: no such model.
        """
        with self._loading:
            shelf = self._shelf(name)
            entries: dict[str, Entry[M]] = {
                version: Entry(name, version, "unloaded", "unloaded") for version in shelf.folders
            }
            self._swap({**self._shelves, name: replace(shelf, served="", entries=entries)})

    def forget(self, name: str) -> None:
        """Know a model no more: its folder has gone; who holds one of its versions keeps it."""
        with self._loading:
            self._swap({known: shelf for known, shelf in self._shelves.items() if known != name})

    def get(self, name: str, version: str = "") -> M:
        """Return a model; "" is the version that is served.

        Blocks while an older version loads that is asked for the first time.

        Raises:
            NotFound: no such model or version; the message lists those there are.
            InvalidModel: it is broken; the message says how.
        """
        shelf = self._shelf(name)
        if not shelf.served and shelf.folders:
            raise NotFound(f"model '{name}' is unloaded; it is served again once it is loaded")
        entry = shelf.entries.get(version or shelf.served)
        if entry is None:
            versions = ", ".join(shelf.folders) or "none"
            raise NotFound(f"model '{name}' has no version '{version}'; it has {versions}")
        if entry.state == "unloaded":
            entry = self._load_version(name, entry.version)
        return model_of(entry)

    def loads(self, name: str, version: str = "") -> bool:
        """Whether `get` would first load the model from disk, which takes a thread of its own."""
        shelf = self._shelves.get(name)
        if shelf is None or not shelf.served:
            return False
        entry = shelf.entries.get(version or shelf.served)
        return entry is not None and entry.state == "unloaded"

    @property
    def loading(self) -> str:
        """The model that `load` is loading at the moment; "" where there is none."""
        return self._under_way

    def leaving(self, name: str, version: str) -> bool:
        """Whether a version that is served no more is still held by requests under way."""
        reference = self._leaving.get((name, version))
        return reference is not None and reference() is not None

    def entries(self) -> tuple[Entry[M], ...]:
        """List every version of every model, by name, then oldest first."""
        shelves = self._shelves
        return tuple(entry for name in sorted(shelves) for entry in shelves[name].entries.values())

    def _load_version(self, name: str, version: str) -> Entry[M]:
        with self._loading:
            shelf = self._shelves.get(name)
            entry = shelf.entries.get(version) if shelf else None
            if shelf is None or entry is None or not shelf.served:
                raise NotFound(f"version {version} of model '{name}' has just been removed")
            # another thread may have loaded it while this one waited
            if entry.state == "unloaded":
                entry = self._loaded(shelf.folders[version])
                entries = {**shelf.entries, version: entry}
                self._shelves = {**self._shelves, name: replace(shelf, entries=entries)}
            return entry

    def _shelf(self, name: str) -> Shelf[M]:
        shelf = self._shelves.get(name)
        if shelf is None:
            raise NotFound(f"there is no model '{name}'; {listed(self._shelves)}")
        return shelf

    def _swap(self, shelves: Mapping[str, Shelf[M]]) -> None:
        """Serve other models from now on, and tell of those that are not served any more."""
        before, self._shelves = self._shelves, shelves
        kept = {id(model) for model in loaded(shelves.values())}
        for shelf in before.values():
            for entry in shelf.entries.values():
                if entry.model is not None and id(entry.model) not in kept:
                    self._drop(entry, entry.model)

    def _drop(self, entry: Entry[M], model: M) -> None:
        self._leaving[entry.name, entry.version] = ref(model)
        if self._on_drop is not None:
            self._on_drop(model)

    def _fill(self, name: str, path: Path) -> Shelf[M]:
        """Load the newest version; keep what is loaded of the others."""
        before = self._shelves.get(name)
        known = before.entries if before else {}
        try:
            folders = find_folders(name, path)
        except InvalidModel as error:
            folders = {}
            newest: Entry[M] = unavailable(name, "", error.message)
        else:
            newest = self._loaded(folders[max(folders, key=int)])
        entries: dict[str, Entry[M]] = {version: unloaded(name, version) for version in folders}
        entries |= {v: known[v] for v in folders if v in known and known[v].model is not None}
        entries[newest.version] = newest
        served = newest.version
        if (
            newest.model is None
            and before
            and before.served
            and known[before.served].model is not None
        ):
            served = before.served
            entries[served] = known[served]
            if newest.version == served:
                entries[served] = replace(known[served], reason=_outlived(newest.reason))
        return Shelf(newest.version, served, entries, folders)

    def _loaded(self, folder: Folder) -> Entry[M]:
        name, version = folder.name, folder.version
        try:
            return Entry(name, version, "ready", model=self._load(folder))
        except CandorError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - a defect met in one model must not stop others
            _LOG.exception("model met a defect", extra={"model": name, "version": version})
            reason = f"unexpected {type(error).__name__} while it was loaded: {error}"
        return unavailable(name, version, reason)


def _outlived(reason: str) -> str:
    return f"served as it was loaded before; its files cannot be served now: {reason}"
