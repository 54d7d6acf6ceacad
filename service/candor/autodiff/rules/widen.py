"""What a rule sees of a node on values of fewer bits: the same node on float32.

Values of 16 bits are widened, since cotangents of them under- and overflow where the values do not
(and since some kernels lack these types); so every cotangent is float32 or float64. Quantised
values that a node only moves or compares are read as the numbers that they are, so that cotangents
stay per step of the integer.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.order import reads
from candor.autodiff.quantised import QUANTISED, QUANTISERS
from candor.autodiff.rules.table import RULES, Site, key

__all__ = ["HALVES", "widened"]

HALVES: Final = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})

_OWN: Final = QUANTISERS | {"DequantizeLinear", "com.microsoft.DequantizeLinear"}
"""Operators whose rules know quantised values themselves."""


def widened(op: Emitter, at: Site) -> Site:
    """Return the site with its values in float32, where a rule could not do with them as they are.

    Raises:
        UnsupportedOperator: the node holds a graph of its own, in 16 bits.
    """
    narrow = set(_quantised(op, at))
    narrow |= {name for name in _names(at.node) if op.graph.dtype(name) in HALVES}
    if not narrow:
        return at
    if any(a.HasField("g") for a in at.node.attribute):
        raise at.refusal("its body computes in 16 bits, which is not built; use float32 inside")
    node = NodeProto()
    node.CopyFrom(at.node)
    node.input[:] = [_wide(op, name) if name in narrow else name for name in node.input]
    node.output[:] = [_wide(op, name) if name in narrow else name for name in node.output]
    return replace(at, node=node)


def _names(node: NodeProto) -> list[str]:
    return [name for name in (*node.input, *node.output) if name]


def _quantised(op: Emitter, at: Site) -> list[str]:
    """Name the values that count in steps: operands that the rule knows, and results."""
    names = reads(at.node)
    wanted = {names[index] for index in at.wanted if index >= 0}
    if key(at.node) in _OWN or all(op.graph.dtype(name) not in QUANTISED for name in wanted):
        return []
    rule = RULES[key(at.node)]
    read = {*rule.differentiable(at.node), *rule.stops}
    names = [name for index, name in enumerate(names) if index in read]
    return [n for n in (*names, *at.node.output) if n and op.graph.dtype(n) in QUANTISED]


def _wide(op: Emitter, name: str) -> str:
    known = op.graph.constant(name)
    if known is not None:
        return op.constant(known.astype(np.float32))
    return op.Cast(name, to=TensorProto.FLOAT)
