"""Answers as they were written, for requests that come again byte for byte.

An explanation that the cache knows still has to be read, planned, looked up row by row, drawn and
written: five times what gRPC takes to carry it. So what was answered wholly out of the cache is
kept as bytes too. It stands and falls with the entries that it was made of: a replay is given only
while memory holds every one of them, the same object under the same key, and while the model that
answered is the one that is served. What expires, is refreshed, evicted or loaded anew takes its
replays along.
"""

import secrets
import time
import weakref
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from blake3 import blake3
from google.protobuf.message import Message

from candor.engine.cache import MemoryCache
from candor.engine.request import Explanation
from candor.engine.tiers import Tiers
from candor.metrics import Metrics
from candor.runtime.model import Model

__all__ = ["Replay", "Replays"]

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Replay(Generic[M]):
    """An answer that is given again.

    Attributes:
        explanation: what it says, with the times of this call.
        response: the same, as it was written.
    """

    explanation: Explanation
    response: M


@dataclass(frozen=True, slots=True)
class _Kept:
    model: "weakref.ref[Model]"
    explanation: Explanation
    written: bytes

    @property
    def size_bytes(self) -> int:
        # The explanation shares its arrays with the cache, until that lets go of them.
        return 2 * len(self.written)


class Replays:
    """Keeps answers within a number of bytes, and gives them while they hold."""

    def __init__(self, cache: Tiers, metrics: Metrics, max_bytes: int, ttl_s: float) -> None:
        """Keep nothing yet.

        Args:
            cache: whose entries the answers are made of.
            metrics: told of what is answered out of the cache.
            max_bytes: of all answers; 0 keeps none.
            ttl_s: of the cache's entries.
        """
        self._cache = cache
        self._metrics = metrics
        self._kept: MemoryCache[_Kept] = MemoryCache(max_bytes, ttl_s, lambda kept: kept.size_bytes)
        self._secret = secrets.token_bytes(blake3.key_size)

    def key_of(self, request: Message, tenant: str) -> str:
        """What stands for a request of a tenant; "" where nothing is kept."""
        if not self._kept.max_bytes:
            return ""
        hasher = blake3(key=self._secret)
        for part in (request.DESCRIPTOR.full_name.encode(), tenant.encode()):
            hasher.update(len(part).to_bytes(8, "little") + part)
        hasher.update(request.SerializeToString(deterministic=True))
        return hasher.hexdigest()

    def find(self, key: str, model: Model, response_type: type[M]) -> Replay[M] | None:
        """The answer to a request to a model, counted as hits of the cache."""
        began = time.monotonic()
        kept = self._kept.get(key) if key else None
        if kept is None or not self._holds(kept, model):
            return None
        self._metrics.cache("explanation", "hit", kept.explanation.n_answers)
        seconds = time.monotonic() - began
        timings_s = {"look_up": seconds, "total": seconds}
        response = response_type.FromString(kept.written)
        return Replay(replace(kept.explanation, timings_s=timings_s, ready_s={}), response)

    def keep(self, key: str, model: Model, explanation: Explanation, response: Message) -> None:
        """Keep an answer, if all of it came out of the cache."""
        if not key or explanation.statuses != {"hit"} or not _explains_all(explanation):
            return
        self._kept.put(key, _Kept(weakref.ref(model), explanation, response.SerializeToString()))
        self._metrics.cache_bytes("replays", self._kept.size_bytes)

    def _holds(self, kept: _Kept, model: Model) -> bool:
        """Whether the same model still answers, out of the same entries."""
        if kept.model() is not model:
            return False
        for rows in kept.explanation.answers:
            for answer in (answer for row in rows for answer in row):
                entry = self._cache.peek(answer.key)
                # Of several inputs an entry has all maps, and an answer one of them.
                shown = answer.attribution.values
                if entry is None or all(one.values is not shown for one in entry.attribution.maps):
                    return False
        return True


def _explains_all(explanation: Explanation) -> bool:
    return not any(
        answer.not_explained for rows in explanation.answers for row in rows for answer in row
    )
