"""Random crops, flips and colour changes on a whole batch at once.

One affine `grid_sample` does crop, flip and resize together; nothing works picture by picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def uniform(n: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    """Return n float32 values in [low, high)."""
    return torch.rand(n, generator=rng) * (high - low) + low


def crop_and_flip(x: Tensor, size: int, least_area: float, rng: torch.Generator) -> Tensor:
    """Cut a random box of at least `least_area` from each picture, mirror half, resize to `size`.

    x is [n, c, h, w]; the result [n, c, size, size]. Aspect ratios are 3/4 to 4/3 (Szegedy et al.
    2015, arXiv:1409.4842).
    """
    n = len(x)
    area = uniform(n, least_area, 1.0, rng)
    aspect = torch.exp(uniform(n, -0.2877, 0.2877, rng))
    half_w = (area * aspect).sqrt().clamp(max=1.0)
    half_h = (area / aspect).sqrt().clamp(max=1.0)
    theta = torch.zeros(n, 2, 3)
    side = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
    theta[:, 0, 0] = half_w * side
    theta[:, 1, 1] = half_h
    theta[:, 0, 2] = uniform(n, -1.0, 1.0, rng) * (1.0 - half_w)
    theta[:, 1, 2] = uniform(n, -1.0, 1.0, rng) * (1.0 - half_h)
    # Bilinear sampling reads 2x2 pixels: below 3/4 of the source it would alias, so oversample.
    over = 2 if size < 0.75 * x.shape[-1] else 1
    shape = [n, x.shape[1], size * over, size * over]
    grid = functional.affine_grid(theta, shape, align_corners=False)
    out = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return functional.avg_pool2d(out, over) if over > 1 else out


def jitter(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Scale brightness, contrast and saturation by 1 +- strength; x in 0..1, [n, 3, h, w]."""

    def factor() -> Tensor:
        return uniform(len(x), 1 - strength, 1 + strength, rng).view(-1, 1, 1, 1)

    x = x * factor()
    x = torch.lerp(x.mean((1, 2, 3), keepdim=True), x, factor())
    return torch.lerp(x.mean(1, keepdim=True), x, factor()).clamp(0.0, 1.0)


def soften(x: Tensor, rng: torch.Generator) -> Tensor:
    """Blur half of the pictures a little, each by a strength of its own; x [n, 3, h, w].

    The training pictures were shrunk without a low-pass filter and are sharper than what a careful
    resize of a photograph gives: a network that only saw them mistakes softness for another class.
    """
    n, channels = x.shape[:2]
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(channels, 1, 3, 3)
    blurred = functional.conv2d(
        functional.pad(x, (1, 1, 1, 1), "replicate"), kernel, groups=channels
    )
    chosen = (torch.rand(n, generator=rng) < 0.5).float()
    return torch.lerp(x, blurred, (chosen * uniform(n, 0.0, 1.0, rng)).view(-1, 1, 1, 1))


def shift(x: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Move each square picture [c, s, s] by up to `most` pixels each way; what comes in is 0."""
    return cut(functional.pad(x, (most, most, most, most)), x.shape[-1], rng)


def cut(x: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Take from each square picture [c, s, s] a square of `size`, anywhere."""
    n, channels, side, _ = x.shape
    top, left = (torch.randint(side - size + 1, (n, 1, 1, 1), generator=rng) for _ in range(2))
    rows = top + torch.arange(size).view(1, 1, -1, 1)
    columns = left + torch.arange(size).view(1, 1, 1, -1)
    each = torch.arange(n).view(-1, 1, 1, 1)
    return x[each, torch.arange(channels).view(1, -1, 1, 1), rows, columns]


def mirror(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures left to right."""
    chosen = torch.rand(len(x), generator=rng) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), x.flip(3), x)
