"""Gauss-Legendre nodes and weights on 0..1, for thousands of nodes as well as for two."""

import math
from functools import lru_cache

import numpy as np

from candor.result import Array

__all__ = ["gauss_legendre"]

_FEW = 100
"""Up to so many nodes the recurrence takes a millisecond; it takes O(n²)."""

_ROUNDS = 8
"""Of Newton's method; from Tricomi's estimate it is at rest after three or four."""

_NEAR_THE_END = 24
"""Nodes at each end that are too near to it for the asymptotic series."""

_POINTS = 48
"""Of Laplace's integral: enough for an oscillation four times as fast as that of these nodes."""

_TERMS = 14
"""Of the asymptotic series: of the first node that takes it, the next is under 1e-19."""


@lru_cache(maxsize=32)
def gauss_legendre(n: int) -> tuple[Array, Array]:
    """Nodes and weights, float64 [n] each, nodes ascending, weights adding up to 1; read-only.

    Many take O(n), a millisecond a thousand, where numpy's leggauss solves an eigenproblem in
    O(n³): a budget of time cannot look at the clock before the first gradient.
    """
    nodes, weights = _by_recurrence(n) if n <= _FEW else _by_asymptotics(n)
    weights /= weights.sum()
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def _by_recurrence(n: int) -> tuple[Array, Array]:
    """Newton's method on all roots at once.

    Source: Press et al., Numerical Recipes, routine gauleg, from Tricomi's estimate of the roots.
    """
    angles = np.pi * (4 * np.arange(n, 0, -1) - 1) / (4 * n + 2)
    x = (1 - (n - 1) / (8 * n**3)) * np.cos(angles)
    slope = np.ones(n)
    for _ in range(_ROUNDS):
        before, here = np.ones(n), x
        for degree in range(2, n + 1):
            before, here = here, ((2 * degree - 1) * x * here - (degree - 1) * before) / degree
        slope = n * (x * here - before) / (x**2 - 1)
        step = here / slope
        x = x - step
        if np.abs(step).max() < 1e-15:
            break
    return 0.5 * (1 + x), 1 / ((1 - x**2) * slope**2)


def _by_asymptotics(n: int) -> tuple[Array, Array]:
    """Newton's method in the angle, on one half of the roots; the other is its mirror image.

    Source: Hale and Townsend 2013, SIAM J. Sci. Comput. 35:A652; nodes near the end by Laplace's
        integral in place of their Bessel functions.
    """
    angles = np.pi * (4 * np.arange(1, (n + 1) // 2 + 1) - 1) / (4 * n + 2)
    angles += 1 / (8 * (n + 0.5) ** 2 * np.tan(angles))
    slopes = np.empty_like(angles)
    near, far = slice(_NEAR_THE_END), slice(_NEAR_THE_END, None)
    for part, legendre in ((near, _laplace), (far, _stieltjes)):
        for _ in range(_ROUNDS):
            value, slopes[part] = legendre(n, angles[part])
            step = value / slopes[part]
            angles[part] -= step
            if np.abs(step / angles[part]).max() < 1e-14:
                break
    low, weights = np.sin(angles / 2) ** 2, 1 / slopes**2
    mirrored = slice(n // 2 - 1, None, -1)
    return np.append(low, 1 - low[mirrored]), np.append(weights, weights[mirrored])


def _laplace(n: int, angles: Array) -> tuple[Array, Array]:
    """P_n(cos a) and its derivative in a, by the midpoint rule; it converges geometrically.

    Source: Laplace's first integral, NIST's DLMF 14.12.8: the mean over b of
        (cos a + i sin a cos b)^n.
    """
    turn = (np.arange(_POINTS) + 0.5) * np.pi / (2 * _POINTS)
    across, down = np.cos(turn), np.sin(turn)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    # the modulus is so near to 1 that its power would be the power of a rounding error
    log = 0.5 * np.log1p(-((sin * down) ** 2)) + 1j * np.arctan(sin / cos * across)
    slope = n * np.exp((n - 1) * log) * (1j * cos * across - sin)
    return np.exp(n * log).real.mean(axis=1), slope.real.mean(axis=1)


def _stieltjes(n: int, angles: Array) -> tuple[Array, Array]:
    """P_n(cos a) and its derivative in a, by Stieltjes' series.

    Source: Szegő 1939, Orthogonal Polynomials, theorem 8.21.5; the error is under twice the first
        term that is left out.
    """
    twice_sin, cot = 2 * np.sin(angles), 1 / np.tan(angles)
    size = 4 / math.pi * math.exp(-math.fsum(np.log1p(0.5 / np.arange(1, n + 1)).tolist()))
    size = size / np.sqrt(twice_sin)
    value, slope = np.zeros_like(angles), np.zeros_like(angles)
    for m in range(_TERMS):
        order = m + 0.5
        phase = (n + order) * angles - order * (math.pi / 2)
        cosine = np.cos(phase)
        value += size * cosine
        slope -= size * ((n + order) * np.sin(phase) + order * cot * cosine)
        size = size * (order**2 / ((m + 1) * (n + m + 1.5))) / twice_sin
    return value, slope
