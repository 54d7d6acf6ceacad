"""Cut a picture into regions, once for each picture."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import skimage.segmentation

from candor.explain.kept import Kept
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["consecutive", "picture_cut"]


def consecutive(labels: Array) -> Array:
    """Renumber 0, 1, ... in the labels' own order; negative ones become -1."""
    known, index = np.unique(labels, return_inverse=True)
    n_negative = int(np.count_nonzero(known < 0))
    return np.maximum(index.reshape(labels.shape) - n_negative, -1).astype(np.int32)


def _slic(picture: Array, n_segments: int) -> Array:
    labels: Array = skimage.segmentation.slic(
        picture, n_segments=n_segments, start_label=0, channel_axis=-1
    )
    return labels


def _quickshift(picture: Array, _: int) -> Array:
    # what lime runs by default; its random_seed never reaches scikit-image, so that rng stays 42
    rgb = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture
    labels: Array = skimage.segmentation.quickshift(
        rgb, kernel_size=4, max_dist=200, ratio=0.2, rng=42, convert2lab=rgb.shape[-1] == 3
    )
    return labels


def _grid(picture: Array, n_segments: int) -> Array:
    height, width = picture.shape[:2]
    rows = int(np.clip(round(np.sqrt(n_segments * height / width)), 1, height))
    columns = int(np.clip(round(n_segments / rows), 1, width))
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    labels: Array = row[:, None] * columns + column[None, :]
    return labels


_PICTURE_CUTTERS: Mapping[str, Callable[[Array, int], Array]] = MappingProxyType(
    {"slic": _slic, "quickshift": _quickshift, "grid": _grid}
)


def _picture(row: Array, geometry: Geometry) -> Array:
    """The model's input as a picture: channels last, its whole range mapped to 0..1."""
    axis = geometry.channel_axis
    picture = row[..., None] if axis is None else np.moveaxis(row, axis, -1)
    picture = picture.astype(np.float64)
    low, high = float(picture.min()), float(picture.max())
    return np.ascontiguousarray((picture - low) / (high - low) if high > low else picture - low)


def picture_cut(row: Array, kind: str, n_segments: int, geometry: Geometry) -> Array:
    """Cut a picture, or remember how: the same one is often explained again.

    Returns:
        int32 [h, w], shared and read-only.
    """
    about = f"{kind} {n_segments} {row.shape} {row.dtype} {geometry.channel_axis}"
    content = hashlib.blake2b(row.tobytes(), digest_size=16)
    content.update(about.encode())

    def cut() -> tuple[Array]:
        return (consecutive(_PICTURE_CUTTERS[kind](_picture(row, geometry), n_segments)),)

    return _CUTS.get(content.digest(), cut)[0]


_CUTS: Kept[tuple[Array]] = Kept(32 * 2**20)
"""Of the whole process; 160 pictures of 224 x 224."""
