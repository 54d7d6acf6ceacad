"""Finding the model that a request names."""

import asyncio
from typing import TypeAlias

from candor.runtime.model import Model
from candor.runtime.store import Store

__all__ = ["Models", "find_model"]

Models: TypeAlias = Store[Model]


async def find_model(store: Models, name: str, version: str) -> Model:
    """Look a model up; a version that has to be loaded first loads off the event loop.

    Raises:
        NotFound: no such model or version.
        InvalidModel: it is broken.
    """
    if store.loads(name, version):
        return await asyncio.to_thread(store.get, name, version)
    return store.get(name, version)
