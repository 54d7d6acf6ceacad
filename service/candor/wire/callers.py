"""Who is calling, and what they may: models, how often, how much at a time."""

import time
from dataclasses import dataclass
from typing import Final

from candor.errors import Overloaded, PermissionDenied

__all__ = ["ANYONE", "Allowance", "Caller", "Limits"]

_BUSY_S: Final = 0.5
"""When to come back where as much is under way as may be: about as long as what is under way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may ask for.

    Attributes:
        requests_per_s: on average; None: any number.
        burst: how many at once, after a pause.
        concurrent: requests under way at the same time; None: any number.
    """

    requests_per_s: float | None = None
    burst: int = 1
    concurrent: int | None = None


class Allowance:
    """What is left of a key's limits at the moment; used from one event loop, no lock.

    A bucket that holds `burst` tokens and fills at the key's rate: each request takes one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._tokens = float(limits.burst)
        self._filled_s = time.monotonic()
        self._under_way = 0

    def enter(self, name: str) -> None:
        """Let one more request in; `leave` has to follow.

        Raises:
            Overloaded: it is one too many; takes nothing.
        """
        limits = self.limits
        if limits.concurrent is not None and self._under_way >= limits.concurrent:
            raise Overloaded(
                f"key '{name}' has {self._under_way} requests under way, and may have no more at "
                "a time",
                _BUSY_S,
            )
        if limits.requests_per_s is not None:
            self._take(name, limits.requests_per_s)
        self._under_way += 1

    def leave(self) -> None:
        """One request is over."""
        self._under_way -= 1

    def _take(self, name: str, rate: float) -> None:
        now = time.monotonic()
        filled = self._tokens + (now - self._filled_s) * rate
        self._tokens, self._filled_s = min(float(self.limits.burst), filled), now
        if self._tokens < 1:
            wait_s = (1 - self._tokens) / rate
            raise Overloaded(
                f"key '{name}' may make {rate:g} requests a second, {self.limits.burst} at once "
                f"after a pause; the next one in {wait_s:.3g} s",
                wait_s,
            )
        self._tokens -= 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a call.

    Attributes:
        name: of the key, for the log; "" where none is asked for.
        tenant: whose cached answers these are; callers of one tenant share them.
        models: that may be used; None: all.
        control: whether models may be loaded and unloaded, where the server allows it at all.
        allowance: None where nothing is limited.
    """

    name: str = ""
    tenant: str = ""
    models: frozenset[str] | None = None
    control: bool = True
    allowance: Allowance | None = None

    def sees(self, model: str) -> bool:
        """Whether the caller may know of a model."""
        return self.models is None or model in self.models

    def check_model(self, model: str) -> None:
        """Refuse a model that is not the caller's, whether or not there is one of that name.

        Raises:
            PermissionDenied: it is not.
        """
        if not self.sees(model):
            raise PermissionDenied(f"key '{self.name}' may not use the model '{model[:100]}'")

    def check_control(self) -> None:
        """Refuse to load and unload models.

        Raises:
            PermissionDenied: the key has no `control`.
        """
        if not self.control:
            raise PermissionDenied(f"key '{self.name}' may not load or unload models")


ANYONE: Final = Caller()
"""The caller of a server that asks for no keys."""
