"""Class activation maps in plain numpy, step by step as pytorch-grad-cam takes them.

What the in-graph maps are held to where pytorch-grad-cam itself is not at hand; `test_cam.py` holds
this to pytorch-grad-cam.
"""

from types import MappingProxyType

import numpy as np

from candor.result import Array

__all__ = ["UNSCALED", "cam", "grad_cam", "normalise", "resize"]


def grad_cam(activations: Array, gradients: Array, size: tuple[int, int], *, raw: bool) -> Array:
    """Grad-CAM at the input's size, [n, h, w].

    Args:
        activations: [n, c, y, x], of the layer.
        gradients: [n, c, y, x], of the target's score to them.
        size: h, w of the input.
        raw: leave the map in units of the score: relu and upsampling only.
    """
    weights = gradients.mean(axis=(2, 3))
    maps = np.maximum((weights[:, :, None, None] * activations).sum(axis=1), 0)
    return resize(maps, size) if raw else normalise(maps, size)


def grad_cam_plus_plus(activations: Array, gradients: Array) -> Array:
    """As pytorch-grad-cam writes it: eq. 19 with the sum in the divisor over the whole map."""
    total = activations.sum(axis=(2, 3), keepdims=True)
    shares = gradients**2 / (2 * gradients**2 + total * gradients**3 + 1e-6)
    shares = np.where(gradients != 0, shares, 0)
    weights = (np.maximum(gradients, 0) * shares).sum(axis=(2, 3), keepdims=True)
    return (weights * activations).sum(axis=1)


def hires_cam(activations: Array, gradients: Array) -> Array:
    return (gradients * activations).sum(axis=1)


def layer_cam(activations: Array, gradients: Array) -> Array:
    return (np.maximum(gradients, 0) * activations).sum(axis=1)


def xgrad_cam(activations: Array, gradients: Array) -> Array:
    total = activations.sum(axis=(2, 3), keepdims=True) + 1e-7
    weights = (gradients * activations / total).sum(axis=(2, 3), keepdims=True)
    return (weights * activations).sum(axis=1)


UNSCALED = MappingProxyType(
    {
        "grad_cam_plus_plus": grad_cam_plus_plus,
        "hires_cam": hires_cam,
        "layer_cam": layer_cam,
        "xgrad_cam": xgrad_cam,
    }
)
"""Maps [n, y, x] at the layer's resolution, not yet rectified, by method."""


def cam(activations: Array, weights: Array, size: tuple[int, int], *, raw: bool) -> Array:
    """Exact CAM: weights [n, c] are the head's, of each row's target; signed where raw."""
    maps = np.einsum("nc,ncyx->nyx", weights, activations)
    return resize(maps, size) if raw else normalise(np.maximum(maps, 0), size)


def normalise(maps: Array, size: tuple[int, int]) -> Array:
    """Scale to 0..1 at the layer's resolution, upsample, clip, and scale again."""
    return _scale(np.maximum(resize(_scale(maps), size), 0))


def resize(maps: Array, size: tuple[int, int]) -> Array:
    """Bilinear with half-pixel centres and clamped edges, [n, y, x] -> [n, h, w]."""
    for axis, length in zip((1, 2), size, strict=True):
        old = maps.shape[axis]
        centre = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, old - 1)
        left = np.minimum(centre.astype(int), max(old - 2, 0))
        right = np.minimum(left + 1, old - 1)
        share = np.expand_dims(centre - left, tuple({0, 1, 2} - {axis}))
        maps = maps.take(left, axis) * (1 - share) + maps.take(right, axis) * share
    return maps


def _scale(maps: Array) -> Array:
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    return maps / (1e-7 + maps.max(axis=(1, 2), keepdims=True))
