"""The last moments before gRPC stops: new calls are held at the gate until none comes any more.

When a gRPC server stops, a call that has been read off the wire but not yet been handed to its
handler is answered CANCELLED, which no client tries again. So before that nobody may be on the way:
callers who wait for an answer send nothing, and those held here are refused, by UNAVAILABLE, once
the server has told its clients to go elsewhere.
"""

import asyncio
import time
from typing import Final

from candor.errors import Unavailable

__all__ = ["Gate"]

_QUIET_S: Final = 0.05
_LONGEST_S: Final = 0.5


class Gate:
    """Open until it is shut; made and used on the event loop."""

    def __init__(self) -> None:
        self._stopped: asyncio.Event | None = None
        self._last_s = 0.0

    async def enter(self) -> None:
        """Go through.

        Raises:
            Unavailable: the server has stopped; nothing of the call was done.
        """
        if self._stopped is None:
            return
        self._last_s = time.monotonic()
        await self._stopped.wait()
        raise Unavailable("the server is stopping; another one, or this one soon, will answer")

    async def shut(self) -> None:
        """Hold new calls, and return when none has come for a moment, or after half a second."""
        self._stopped = asyncio.Event()
        began = self._last_s = time.monotonic()
        while True:
            now = time.monotonic()
            if now - self._last_s >= _QUIET_S or now - began >= _LONGEST_S:
                return
            await asyncio.sleep(_QUIET_S / 5)

    def refuse(self) -> None:
        """Refuse those who are held, and all who come."""
        if self._stopped is not None:
            self._stopped.set()
