"""Muon: momentum whose matrix updates are orthogonalised, for convolutions followed by batch norm.

Batch norm makes such weights scale-free, so they are kept on a sphere and the learning rate is an
angle per step. Source: Jordan et al. 2024, "Muon"; the sphere as in airbench (arXiv:2404.00498).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int) -> Tensor:
    """Push the singular values of [rows, columns] towards 1 by quintic Newton-Schulz steps."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon:
    """The optimiser's state: one momentum buffer a weight."""

    def __init__(self, weights: Sequence[Tensor], momentum: float = 0.9, steps: int = 3) -> None:
        self.weights = weights
        self.momentum = momentum
        self.steps = steps
        self.buffers = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Turn each weight by about `lr` radians and put it back on its sphere."""
        for weight, buffer in zip(self.weights, self.buffers, strict=True):
            if weight.grad is None:
                continue
            buffer.mul_(self.momentum).add_(weight.grad)
            nesterov = weight.grad + self.momentum * buffer
            update = orthogonalise(nesterov.flatten(1), self.steps).view_as(weight)
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            weight.sub_(update, alpha=lr)
