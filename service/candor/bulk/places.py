"""Where a job's questions are answered: by a service, or in this process, in the same words."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeAlias, Unpack, cast

from candor.client import Asking, AsyncClient, Estimate, Explanation, ModelInfo, Tls
from candor.client.asking import Methods
from candor.settings import Settings

__all__ = ["Answerer", "InProcess", "Place", "Service", "answering"]


class Answerer(Protocol):
    """Answers as `AsyncClient` does."""

    async def model(
        self, name: str, version: str = "", *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Describe a model."""

    async def explain(
        self,
        model: str,
        methods: Methods,
        *,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Explanation:
        """Classify and explain rows."""

    async def estimate(
        self,
        model: str,
        methods: Methods,
        *,
        timeout_s: float | None = None,
        **asking: Unpack[Asking],
    ) -> Estimate:
        """Say what that would cost, and so whether it can be asked at all."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs.

    Attributes:
        target: host and port of its gRPC.
        attempts, tls, api_key: as the client takes them.
    """

    target: str
    attempts: int
    tls: Tls | bool = False
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class InProcess:
    """This process: the engine of a service, without its ports.

    Attributes:
        settings: as of a service; its models are under `model_root`.
        model: the one that is loaded.
    """

    settings: Settings
    model: str


Place: TypeAlias = Service | InProcess


def answering(place: Place) -> AbstractAsyncContextManager[Answerer]:
    """Whoever answers at a place, while the block runs.

    Raises:
        CandorError: in this process, where the model cannot be loaded.
        ModuleNotFoundError: in this process, without the packages of a server.
    """
    if isinstance(place, Service):
        return AsyncClient(
            place.target, tls=place.tls, api_key=place.api_key, attempts=place.attempts
        )
    # A client has none of the packages that a server needs.
    within = import_module("candor.bulk.within").answering_within
    return cast("AbstractAsyncContextManager[Answerer]", within(place.settings, place.model))
