"""Hit rates for Zipf traffic: candor's own memory tier, asked drawn questions."""

from dataclasses import dataclass

import numpy as np

from benchmarks.scaling.theory import Floats, zipf
from candor.engine.cache import MemoryCache

__all__ = ["Tiers", "hit_rate", "two_tiers"]

_FOREVER_S = 1e9


def hit_rate(popularity: Floats, places: int, asked: int, rng: np.random.Generator) -> float:
    """Of the last `asked` questions, after as many that fill the cache; LRU, one unit each."""
    cache: MemoryCache[bool] = MemoryCache(places, _FOREVER_S, lambda _: 1)
    hits = 0
    for number, question in enumerate(_drawn(popularity, 2 * asked, rng)):
        if cache.get(question):
            hits += number >= asked
        else:
            cache.put(question, True)  # noqa: FBT003 - the value is no argument of anybody's
    return hits / asked


@dataclass(frozen=True, slots=True)
class Tiers:
    """Shares of all questions: answered by a replica's memory, by Redis, or computed."""

    memory: float
    redis: float
    computed: float


def two_tiers(
    count: int, exponent: float, places: tuple[int, int], replicas: int, asked: int,
    rng: np.random.Generator,
) -> Tiers:  # fmt: skip
    """Replicas with a memory each, handed questions at random, before one Redis.

    Args:
        count: different questions.
        exponent: how uneven they are asked; 0 is even.
        places: of one memory, and of Redis.
        replicas: how many.
        asked: questions that count, after as many that do not.
        rng: draws the questions and who is asked.
    """
    memories: list[MemoryCache[bool]] = [
        MemoryCache(places[0], _FOREVER_S, lambda _: 1) for _ in range(replicas)
    ]
    redis: MemoryCache[bool] = MemoryCache(places[1], _FOREVER_S, lambda _: 1)
    at = rng.integers(replicas, size=2 * asked).tolist()
    memory_hits = redis_hits = 0
    for number, question in enumerate(_drawn(zipf(count, exponent), 2 * asked, rng)):
        memory = memories[at[number]]
        if memory.get(question):
            memory_hits += number >= asked
            continue
        if redis.get(question):
            redis_hits += number >= asked
        else:
            redis.put(question, True)  # noqa: FBT003
        memory.put(question, True)  # noqa: FBT003
    return Tiers(memory_hits / asked, redis_hits / asked, 1 - (memory_hits + redis_hits) / asked)


def _drawn(popularity: Floats, count: int, rng: np.random.Generator) -> list[str]:
    # By the cumulative sum, since `choice` with probabilities is slow for many of them.
    ranks = np.searchsorted(np.cumsum(popularity), rng.random(count))
    return [str(rank) for rank in np.minimum(ranks, len(popularity) - 1)]
