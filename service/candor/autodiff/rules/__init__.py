"""Derivative rules, one theme to a file; importing this package fills the table."""

from candor.autodiff.rules import (
    activations,
    axial,
    conv,
    elementwise,
    indexing,
    linear,
    normalize,
    pooling,
    quantize,
    recurrent,
    reduce,
    shape,
)
from candor.autodiff.rules.table import BLOCKED, NO_GRADIENT, RULES, Site, key, vjp

__all__ = [
    "BLOCKED",
    "NO_GRADIENT",
    "RULES",
    "Site",
    "activations",
    "axial",
    "conv",
    "elementwise",
    "indexing",
    "key",
    "linear",
    "normalize",
    "pooling",
    "quantize",
    "recurrent",
    "reduce",
    "shape",
    "vjp",
]
