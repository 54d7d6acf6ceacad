"""Closed forms that the simulations have to come to: Erlang, Pollaczek and Khinchine, Che.

Rates are requests a second, times are seconds, loads are in cores.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["che_hit_rate", "erlang_c", "wait_before_slices", "wait_mg1", "wait_mmc", "zipf"]

Floats = NDArray[np.float64]


def erlang_c(servers: int, load: float) -> float:
    """Probability that who comes to M/M/c has to wait; load in servers, less than there are."""
    if not 0 <= load < servers:
        raise ValueError(f"load is {load}; expected less than the {servers} servers")
    blocked = 1.0  # Erlang's B, by its recursion, which does not overflow
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def wait_mmc(rate: float, service_s: float, servers: int) -> float:
    """Mean wait before service in M/M/c."""
    load = rate * service_s
    return erlang_c(servers, load) * service_s / (servers - load)


def wait_mg1(rate: float, service_s: float, service_squared_s2: float) -> float:
    """Mean wait in M/G/1 (Pollaczek and Khinchine), from the first two moments of the service."""
    return rate * service_squared_s2 / (2 * (1 - rate * service_s))


def wait_before_slices(
    rate: float, service_s: float, service_squared_s2: float, bulk_load: float, slice_s: float
) -> float:
    """Mean wait of who goes first, on one core that works off bulk in slices (Cobham).

    Who comes finds a slice in its middle with the probability of the bulk load, and half of it is
    left then; those before it are served first.
    """
    left_s = rate * service_squared_s2 / 2 + bulk_load * slice_s / 2
    return left_s / (1 - rate * service_s)


def zipf(count: int, exponent: float) -> Floats:
    """Popularity of `count` questions by rank; sums to 1."""
    weights = np.arange(1, count + 1, dtype=float) ** -exponent
    return weights / weights.sum()


def che_hit_rate(popularity: Floats, places: float) -> float:
    """Hit rate of an LRU cache with so many places, for independent draws (Che's approximation).

    A question stays for the characteristic time t after it was asked last, and t is such that as
    many are there as there are places.
    """
    if places >= len(popularity):
        return 1.0

    def held(t: float) -> float:
        return float(-np.expm1(-popularity * t).sum())

    low, high = 0.0, 1.0
    while held(high) < places:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if held(middle) < places else (low, middle)
    return float(-(popularity * np.expm1(-popularity * high)).sum())
