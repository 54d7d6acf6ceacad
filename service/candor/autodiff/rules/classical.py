"""Rules of the operators of ai.onnx.ml that scale rows before a network reads them.

They take and give float32 in practice; the runtime casts other types in front of them.
"""

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


@vjp("ai.onnx.ml.Scaler")
def scaler(op: Emitter, at: Site) -> list[str]:
    """y = (x - offset) * scale, with one scale for each feature or for all."""
    scale = next((list(a.floats) for a in at.node.attribute if a.name == "scale"), [1.0])
    return [op.Mul(at.g, np.array(scale, np.float32))]


@vjp("ai.onnx.ml.Normalizer")
def normalizer(op: Emitter, at: Site) -> list[str]:
    """y = x / norm of the row; rows of zeros stay zeros."""
    norm = at.text("norm", "MAX")
    if norm == "L2":
        level, slope = op.ReduceL2(at.x, [1], keepdims=1), at.y
    elif norm == "L1":
        level, slope = op.ReduceL1(at.x, [1], keepdims=1), op.Sign(at.x)
    else:
        raise at.refusal("only the norms L1 and L2 are built, not the maximum")
    level = op.Where(op.Equal(level, 0.0), 1.0, level)
    along = op.ReduceSum(op.Mul(at.g, at.y), [1], keepdims=1)
    return [op.Div(op.Sub(at.g, op.Mul(slope, along)), level)]
