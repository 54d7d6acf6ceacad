"""Cutting the channels of a cotangent apart without leaving the layout that convolutions keep.

A Split on ONNX Runtime's CPU provider takes a picture out of its blocked layout. A convolution is
linear in each of its output channels: with a part of its kernels it makes a part of the channels,
and all parts together cost what the whole did.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from onnx import NodeProto, helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.gates import channels_last
from candor.autodiff.rules.moves import added, blocked, by_one

__all__ = ["divided"]

_NARROW = 16  # channels that fill the registers of a kernel; narrower parts would idle


def divided(op: Emitter, g: str, widths: Sequence[int]) -> list[str] | None:
    """Cut g [n, sum of widths, *spatial] into [n, width, *spatial] by its convolutions.

    Or where it comes channels last, as it does from a pooling, there. None where it comes from
    neither, or a part is narrow.
    """
    terms = _terms(op, g)
    if min(widths) < _NARROW:
        return None
    if not any(_cheap(op, term) for term in terms):
        return None
    rows = [_parts(op, term, widths) for term in terms]
    return [added(op, parts) for parts in zip(*rows, strict=True)]


def _terms(op: Emitter, g: str) -> list[str]:
    node = op.graph.producer(g)
    if node is None or node.op_type not in {"Add", "Sum"}:
        return [g]
    if any(op.graph.shape(term) != op.graph.shape(g) for term in node.input):
        return [g]
    terms = [inner for term in node.input for inner in _terms(op, term)]
    return terms if any(_cheap(op, term) for term in terms) else [g]


def _cheap(op: Emitter, g: str) -> bool:
    return _divisible(op, g) is not None or channels_last(op, g) is not None


def _divisible(op: Emitter, g: str) -> NodeProto | None:
    node = op.graph.producer(g)
    if node is None or node.op_type != "Conv" or len(node.input) > 2:
        return None
    if len(op.graph.consumers(g)) > 1:  # whole as well: its parts would be made twice
        return None
    whole = all(a.i == 1 for a in node.attribute if a.name == "group")
    return node if whole and op.graph.constant(node.input[1]) is not None else None


def _parts(op: Emitter, g: str, widths: Sequence[int]) -> list[str]:
    node = _divisible(op, g)
    kernels = None if node is None else op.graph.constant(node.input[1])
    last = channels_last(op, g)
    if last is not None:
        n = (op.graph.rank(last) or 3) - 2
        parts = op.Split(last, list(widths), axis=n + 1, outputs=len(widths))
        return [op.Transpose(part, perm=[0, n + 1, *range(1, n + 1)]) for part in parts]
    if node is None or kernels is None:
        parts = op.Split(g, list(widths), axis=1, outputs=len(widths))
        return [by_one(op, part) if blocked(op, part) else part for part in parts]
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    ends = accumulate(widths, initial=0)
    return [op.Conv(node.input[0], kernels[start:end], **given) for start, end in pairwise(ends)]
