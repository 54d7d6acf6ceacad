"""Finding the model that a request names."""

import asyncio
from typing import TypeAlias

from candor.errors import NotFound
from candor.runtime.model import Model
from candor.runtime.shelf import Entry
from candor.runtime.store import Store
from candor.wire.callers import Caller

__all__ = ["Models", "find_model", "seen"]

Models: TypeAlias = Store[Model]


async def find_model(store: Models, caller: Caller, name: str, version: str) -> Model:
    """Look a model up; a version that has to be loaded first loads off the event loop.

    Raises:
        PermissionDenied: the caller may not use it.
        NotFound: no such model or version.
        InvalidModel: it is broken.
    """
    caller.check_model(name)
    if caller.models is not None and not any(entry.name == name for entry in store.entries()):
        # In the store's own words it would be told which models there are.
        raise NotFound(f"there is no model '{name}'")
    if store.loads(name, version):
        return await asyncio.to_thread(store.get, name, version)
    return store.get(name, version)


def seen(store: Models, caller: Caller) -> tuple[Entry[Model], ...]:
    """Every version of every model that the caller may know of."""
    return tuple(entry for entry in store.entries() if caller.sees(entry.name))
