"""Whether the server and its models take requests: one set of facts for every way to ask.

ServerReady, grpc.health.v1 and /healthz all read the same `Readiness` and the same store.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from grpc_health.v1 import health_pb2 as pb  # type: ignore[import-untyped]

from candor.errors import NotFound
from candor.wire.calls import Call, Routes
from candor.wire.lookup import Models

__all__ = ["SERVICE", "Health", "Readiness", "State"]

SERVICE = "grpc.health.v1.Health"

State = Literal["starting", "ready", "draining"]

_OWN = ("liveness", "readiness")
_MODEL = "model/"
# Models come and go without telling; a watcher hears of it within this time.
_POLL_S = 1.0


class Readiness:
    """The state of the process, set by the app as it starts and drains."""

    def __init__(self) -> None:
        self._state: State = "starting"
        self._changed = asyncio.Event()

    @property
    def state(self) -> State:
        """Where the process stands in its life."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._state == "ready"

    def set(self, state: State) -> None:
        """Enter a state and wake whoever waits for a change."""
        self._state = state
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self, within_s: float) -> None:
        """Return at the next change, or after this time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within_s)


@dataclass(frozen=True, slots=True)
class Health:
    """grpc.health.v1, for kubelets, load balancers and clients.

    Names: `` and `readiness` (the server takes requests), `liveness` (it answers at all),
    `model/<name>`, and the full names of `services`.
    """

    readiness: Readiness
    store: Models
    services: tuple[str, ...]

    def routes(self) -> Routes:
        """Handler by name of the method."""
        return {"Check": self.check, "Watch": self.watch}

    async def check(self, request: pb.HealthCheckRequest, call: Call) -> pb.HealthCheckResponse:
        """Answer for one name.

        Raises:
            NotFound: a name that stands for nothing.
        """
        del call
        status = self._status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            # Not which models: whoever asks here has shown no key.
            names = ", ".join(
                f"'{name}'" for name in ("", *_OWN, *self.services, f"{_MODEL}<name>")
            )
            raise NotFound(f"'{request.service}' has no health; there are {names}")
        return pb.HealthCheckResponse(status=status)

    async def watch(
        self, request: pb.HealthCheckRequest, call: Call
    ) -> AsyncGenerator[pb.HealthCheckResponse, None]:
        """Answer for one name, now and whenever it changes.

        When the server drains, the stream ends after the status that says so: left open, it would
        hold the server's end up. It ends with OK, because a client that receives an error drops
        what it received before and had not read yet: the very status that the error was about.
        """
        del call
        last = None
        while True:
            state = self.readiness.state
            status = self._status(request.service)
            if status != last:
                yield pb.HealthCheckResponse(status=status)
                last = status
            if state == "draining":
                return
            if state == self.readiness.state:  # it may have changed while the status was sent
                await self.readiness.changed(within_s=_POLL_S)

    def _names(self) -> list[str]:
        models = sorted({f"{_MODEL}{entry.name}" for entry in self.store.entries()})
        return ["", *_OWN, *self.services, *models]

    def _status(self, name: str) -> pb.HealthCheckResponse.ServingStatus.ValueType:
        if name not in self._names():
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        serving = self.readiness.ready
        if name == "liveness":
            serving = True
        elif name.startswith(_MODEL):
            model = name.removeprefix(_MODEL)
            states = {entry.state for entry in self.store.entries() if entry.name == model}
            serving = serving and "ready" in states
        return pb.HealthCheckResponse.SERVING if serving else pb.HealthCheckResponse.NOT_SERVING
