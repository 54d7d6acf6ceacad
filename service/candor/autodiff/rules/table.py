"""The table of derivative rules, and what a rule sees of the node it differentiates.

A rule maps the cotangents of a node's outputs to one cotangent per differentiable operand. An
operator that is in none of the three tables is refused when it lies on the way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from onnx import NodeProto, helper

from candor.autodiff.emitter import Attribute, Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.values import Shape
from candor.errors import UnsupportedOperator

__all__ = [
    "ALL",
    "BLOCKED",
    "NO_GRADIENT",
    "RULES",
    "STATES",
    "Apply",
    "Rule",
    "Site",
    "Woven",
    "key",
    "vjp",
]

ALL: Final = None  # the operands of a variadic operator: Concat, Max, Sum
STATES: Final = -1  # in place of an operand: the first result, differentiated through time


Walk = Callable[[Graph, Mapping[str, str], Sequence[str]], dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Site:
    """A node on the way back: its operands, attributes, and the cotangents of its outputs.

    `cotangents` has an entry per output, None for those that nothing on the way depends on; a rule
    runs only if at least one is given. `walk` differentiates a graph, such as the node's body:
    (graph, cotangents of values, values) -> a cotangent for each, None if nothing depends on it.
    `woven` are the cotangents that were put together of parts so far.
    """

    graph: Graph
    node: NodeProto
    cotangents: tuple[str | None, ...]
    wanted: frozenset[int]
    walk: Walk
    woven: "dict[str, Woven]" = field(default_factory=dict)

    @property
    def g(self) -> str:
        """The cotangent of the first output; refuses if only others have one."""
        if self.cotangents[0] is None:
            raise self.refusal("only its first output can be differentiated")
        return self.cotangents[0]

    @property
    def x(self) -> str:
        """The first operand."""
        return self.node.input[0]

    @property
    def y(self) -> str:
        """The first output."""
        return self.node.output[0]

    def operand(self, index: int) -> str | None:
        """Return an operand's name, or None if the node leaves it out."""
        given = index < len(self.node.input) and self.node.input[index]
        return given or None

    def constant(self, index: int) -> np.ndarray | None:
        """Return an operand that is known while compiling, else None."""
        name = self.operand(index)
        return None if name is None else self.graph.constant(name)

    def required(self, index: int, what: str) -> np.ndarray:
        """Return an operand that must be known while compiling."""
        if (array := self.constant(index)) is None:
            raise self.refusal(f"its {what} must be a constant")
        return array

    def shape(self, index: int) -> Shape:
        """Return an operand's shape; refuses if not even its rank is known."""
        shape = self.graph.shape(self.node.input[index])
        if shape is None:
            raise self.refusal(f"the rank of its operand '{self.node.input[index]}' is unknown")
        return shape

    def integer(self, name: str, default: int) -> int:
        """Return an int attribute."""
        return next((int(a.i) for a in self.node.attribute if a.name == name), default)

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        return next((float(a.f) for a in self.node.attribute if a.name == name), default)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return next((a.s.decode() for a in self.node.attribute if a.name == name), default)

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """Return an attribute that is a list of ints; empty without it and without a default."""
        found = next((a for a in self.node.attribute if a.name == name), None)
        return tuple(default or ()) if found is None else tuple(found.ints)

    def has(self, name: str) -> bool:
        """Tell whether the node carries the attribute."""
        return any(a.name == name for a in self.node.attribute)

    def attributes(self, *names: str) -> dict[str, Attribute]:
        """Return those of the named attributes that the node carries."""
        return {
            a.name: helper.get_attribute_value(a) for a in self.node.attribute if a.name in names
        }

    def refusal(self, reason: str) -> UnsupportedOperator:
        """Make the error that says why this node cannot be differentiated."""
        return UnsupportedOperator(key(self.node), self.node.name or self.node.output[0], reason)


@dataclass(frozen=True, slots=True)
class Woven:
    """What a cotangent [n, c, *spatial] was put together of, for rules that need not have it whole.

    `parts` are named by their first elements and hold every s-th element from there along each
    axis, s of `strides`; those that are zero are left out. `pool` is the MaxPool that passed it
    back, if one did.
    """

    parts: Mapping[tuple[int, ...], str]
    strides: tuple[int, ...]
    pool: Site | None = None


Apply = Callable[[Emitter, Site], Sequence[str | None]]
Places = tuple[int, ...] | Callable[[NodeProto], Sequence[int]] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """How to differentiate an operator.

    `operands` are those it has a cotangent for, None meaning all, or a function of the node. Those
    after the node's own are the values that its body reads from around it; ~i is not an operand
    but the i-th result, differentiated through time. `stops` are further float operands whose
    influence has derivative zero or none; integers and booleans never matter.
    """

    apply: Apply
    operands: Places
    stops: frozenset[int]

    def differentiable(self, node: NodeProto) -> Sequence[int]:
        """Return the indices of the operands for which the rule has a cotangent."""
        if callable(self.operands):
            return self.operands(node)
        return range(len(node.input)) if self.operands is None else self.operands


RULES: dict[str, Rule] = {}


def vjp(
    *op_types: str, operands: Places = (0,), stops: Sequence[int] = ()
) -> Callable[[Apply], Apply]:
    """Enter a rule into the table under its operators' types; a second one is a mistake."""

    def enter(apply: Apply) -> Apply:
        for op_type in op_types:
            if op_type in RULES:
                raise ValueError(f"two rules for {op_type}")
            RULES[op_type] = Rule(apply, operands, frozenset(stops))
        return apply

    return enter


def key(node: NodeProto) -> str:
    """Return a node's name in the tables: its type, with the domain unless that is ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


# What these write is constant almost everywhere (or not a number at all), so that nothing is lost
# where the way back ends at them.
NO_GRADIENT: Final = frozenset(
    "And ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil ConstantOfShape "
    "Equal EyeLike Floor Greater GreaterOrEqual Hardmax IsInf IsNaN Less LessOrEqual NonZero Not "
    "OneHot Or RandomNormalLike RandomUniformLike Round Shape Sign Size StringNormalizer "
    "Xor".split()
)

_CONTROL = "control flow has no rule yet"
_SEQUENCE = "sequences of tensors have no rule; export with Split and Concat instead"
_REGIONS = "the regions of a detector are no part of a classifier"

BLOCKED: Final = {
    "Bernoulli": "it draws at random",
    "ConcatFromSequence": _SEQUENCE,
    "DeformConv": "where it reads depends on its operand, which has no rule yet",
    "If": _CONTROL,
    "Loop": _CONTROL,
    "MaxRoiPool": _REGIONS,
    "Multinomial": "it draws at random",
    "NonMaxSuppression": "it selects boxes, which has no derivative",
    "RoiAlign": _REGIONS,
    "SequenceAt": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SequenceInsert": _SEQUENCE,
    "SequenceMap": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
    "Unique": "it sorts values into a set, which has no derivative",
}
