"""Fold batch norms into the convolutions before them: the same answers with fewer nodes."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_norms(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode; every `norm` that stands after a `conv` in a Sequential is gone.

    What else the Sequential holds stays.
    """
    return _fold(copy.deepcopy(model).eval())


def _fold(module: nn.Module) -> nn.Module:
    conv, norm = getattr(module, "conv", None), getattr(module, "norm", None)
    if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(norm, NORMS):
        fused = fuse_conv_bn_eval(conv, norm)
        rest = {k: v for k, v in module.named_children() if k not in ("conv", "norm")}
        if not rest:
            return fused
        module.conv = fused
        del module.norm
        return module
    for name, child in module.named_children():
        setattr(module, name, _fold(child))
    return module
