"""Gauss-Legendre nodes and weights on 0..1, for thousands of nodes as well as for two."""

from functools import lru_cache

import numpy as np

from candor.result import Array

__all__ = ["gauss_legendre"]

_ROUNDS = 8
"""Of Newton's method; from Tricomi's estimate it is at rest after three or four."""


@lru_cache(maxsize=32)
def gauss_legendre(n: int) -> tuple[Array, Array]:
    """Nodes and weights, float64 [n] each, nodes ascending, weights adding up to 1; read-only.

    Newton's method on all roots at once takes O(n²), where numpy's leggauss solves an eigenproblem
    in O(n³): minutes for the thousands of steps that a tolerance may ask for.

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
    weights = 1 / ((1 - x**2) * slope**2)
    nodes, weights = 0.5 * (1 + x), weights / weights.sum()
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights
