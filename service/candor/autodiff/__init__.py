"""Reverse-mode differentiation from ONNX to ONNX.

`prepare` takes a model apart, `anatomy` says where its scores and layers are, `gradient` appends
the way back, and `Graph.finish` builds an ordinary ONNX model of the whole.
"""

from candor.autodiff.anatomy import Anatomy, anatomy
from candor.autodiff.emitter import Emitter
from candor.autodiff.gradient import gradient
from candor.autodiff.graph import Graph
from candor.autodiff.prepare import prepare
from candor.autodiff.program import Program, apart
from candor.autodiff.quantised import Quantity, reading
from candor.autodiff.rules import BLOCKED, NO_GRADIENT, RULES

__all__ = [
    "BLOCKED",
    "NO_GRADIENT",
    "RULES",
    "Anatomy",
    "Emitter",
    "Graph",
    "Program",
    "Quantity",
    "anatomy",
    "apart",
    "gradient",
    "prepare",
    "reading",
]
