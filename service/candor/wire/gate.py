"""The last moments before gRPC stops: new calls are held at the gate until none comes any more.

When a gRPC server stops, a call that has been read off the wire but not yet been handed to its
handler is answered CANCELLED, which few clients try again. So before that nobody should be on the
way: callers who wait for an answer send nothing, and those held here are refused, by UNAVAILABLE,
once the server has told its clients to go elsewhere. What is left is a caller who sends just in the
moment before that is told, which gRPC gives a server no means to prevent.
"""

import asyncio
import time
from typing import Final

from candor.errors import Unavailable

__all__ = ["Gate"]

_LOOK_S: Final = 0.01
_QUIET_LOOKS: Final = 20  # on a machine that is busy, callers take a tenth of a second to come back
_LONGEST_S: Final = 1.0


class Gate:
    """Open until it is shut; made and used on the event loop.

    Attributes:
        n_held: how many wait here.
    """

    def __init__(self) -> None:
        self.n_held = 0
        self._n_came = 0
        self._stopped: asyncio.Event | None = None

    async def enter(self) -> None:
        """Go through.

        Raises:
            Unavailable: the server has stopped; nothing of the call was done.
        """
        if self._stopped is None:
            return
        self._n_came += 1
        self.n_held += 1
        try:
            await self._stopped.wait()
        finally:
            self.n_held -= 1
        raise Unavailable("the server is stopping; another one, or this one soon, will answer")

    async def shut(self) -> None:
        """Hold new calls, and return when none has come for a moment, or after a second."""
        self._stopped = asyncio.Event()
        until = time.monotonic() + _LONGEST_S
        quiet = 0
        # By looks and not by the clock: a loop that was held up has calls still to be handed out.
        while quiet < _QUIET_LOOKS and time.monotonic() < until:
            before = self._n_came
            await asyncio.sleep(_LOOK_S)
            quiet = quiet + 1 if self._n_came == before else 0

    def refuse(self) -> None:
        """Refuse those who are held, and all who come."""
        if self._stopped is not None:
            self._stopped.set()
