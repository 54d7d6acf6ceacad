"""Follow a repository as it changes on the disk: load what is new or changed, forget what is gone.

A change counts once two looks in a row found the same files, of the same sizes and times: what is
being copied is left alone until it is whole. What turns out broken is tried again when its files
change; until then what was served before is served on.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from candor.errors import CandorError
from candor.runtime.repository import find_names
from candor.runtime.sanity import SANITY_FILE
from candor.runtime.store import Store

__all__ = ["Poller"]

_LOG = logging.getLogger(__name__)

_Stamp: TypeAlias = frozenset[tuple[str, int, int, int]]
"""Of each file: path, bytes, time of change in ns, inode (a link that is moved shows there)."""

_UNREAD: Final = frozenset({SANITY_FILE})
"""Written beside a model by our own tools, and read anew whenever it is shown."""
_DEPTH: Final = 5


class Poller:
    """Compares the repository with what it was; `look` is called by one thread at a time."""

    def __init__(self, root: Path, store: Store[Any], *, model_name: str = "") -> None:
        """Take down how the repository is now, before the store loads it.

        Args:
            root: of the repository.
            store: that is told to load and to forget.
            model_name: how the model is called where the root itself is one.
        """
        self._root = root
        self._store = store
        self._model_name = model_name
        self._away = False
        self._done = self._seen = self._stamps() or {}

    def look(self) -> None:
        """Look at the disk once, and do what has been seen twice."""
        before, now = self._seen, self._stamps()
        if now is None:
            return
        self._seen = now
        for name in sorted({*now, *self._done}):
            stamp = now.get(name)
            if stamp == self._done.get(name) or stamp != before.get(name):
                continue
            if stamp is None:
                self._forget(name)
            else:
                self._load(name)
                self._done = {**self._done, name: stamp}

    def _load(self, name: str) -> None:
        try:
            self._store.load(name)
        except CandorError as error:
            _LOG.error(
                "a change on the disk cannot be served: what was served before is served on",
                extra={"model": name, "reason": error.message},
            )

    def _forget(self, name: str) -> None:
        self._done = {known: stamp for known, stamp in self._done.items() if known != name}
        self._store.forget(name)

    def _stamps(self) -> Mapping[str, _Stamp] | None:
        """Every model's files; None where the root cannot be read, as when a volume is away."""
        try:
            names = find_names(self._root, self._model_name)
            found = {name: frozenset(_files(path)) for name, path in names.items()}
        except (CandorError, OSError) as error:
            if not self._away:
                reason = {"root": str(self._root), "reason": str(error)}
                _LOG.error("the repository cannot be read: all is served as it was", extra=reason)
            self._away = True
            return None
        self._away = False
        return found


def _files(folder: Path, depth: int = 0) -> Iterator[tuple[str, int, int, int]]:
    """What is in a model's folder and its versions', links followed, hidden files left out."""
    if depth > _DEPTH:  # a link that leads back up has no end
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _UNREAD:
            continue
        if path.is_dir():
            yield from _files(path, depth + 1)
            continue
        try:
            found = path.stat()
        except FileNotFoundError:  # gone since it was listed, or a link to nowhere
            continue
        yield str(path), found.st_size, found.st_mtime_ns, found.st_ino
