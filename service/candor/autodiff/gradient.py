"""The reverse walk: d(scores . cotangents) / d(values), appended to the graph.

Only the nodes between the values asked for and the scores are visited, so weights never need a
gradient. Source of the shape of it: Griewank and Walther 2008, Evaluating Derivatives, ch. 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import NodeProto, TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.order import operands
from candor.autodiff.rules import BLOCKED, NO_GRADIENT, RULES, Site, key
from candor.autodiff.values import FLOATS
from candor.errors import NotFound, Unsupported, UnsupportedOperator

__all__ = ["gradient"]

_Held = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class _Visit:
    """A node that the active values flow through, and the operands they enter by."""

    node: NodeProto
    wanted: frozenset[int]
    refusal: str | None = None


def gradient(graph: Graph, cotangents: Mapping[str, str], wrt: Sequence[str]) -> dict[str, str]:
    """Append the way back from values with given cotangents; name the gradient of each `wrt`.

    `cotangents` maps a value to the value (of the same type and shape) that holds its cotangent.
    The gradient with respect to an intermediate value is the total one: over every path from it,
    and the cotangent itself where it is among the values that have one.

    Raises:
        NotFound: if a value is not in the graph.
        Unsupported: if a value is not of a float type, or no score depends on it.
        UnsupportedOperator: if an operator on the way has no rule or refuses this node.
    """
    _check(graph, cotangents, wrt)
    visits = _between(graph, wrt, cotangents)
    op = Emitter(graph, "gradient")
    held: _Held = {value: [cotangent] for value, cotangent in cotangents.items()}
    for visit in reversed(visits):
        _pull(op, visit, held)
    found = {value: _total(op, held, value) for value in wrt}
    if lost := [value for value, total in found.items() if total is None]:
        scores = ", ".join(f"'{value}'" for value in cotangents)
        raise Unsupported(f"{scores} does not depend on '{lost[0]}' in a differentiable way")
    return {value: total for value, total in found.items() if total is not None}


def _check(graph: Graph, cotangents: Mapping[str, str], wrt: Sequence[str]) -> None:
    if absent := [v for v in (*cotangents, *cotangents.values(), *wrt) if not graph.known(v)]:
        raise NotFound(f"the graph has no value '{absent[0]}'")
    for value in (*cotangents, *wrt):
        if (dtype := graph.dtype(value)) not in FLOATS:
            name = TensorProto.DataType.Name(dtype).lower()
            raise Unsupported(f"value '{value}' is {name}; only float values have a gradient")


def _between(graph: Graph, wrt: Sequence[str], scores: Mapping[str, str]) -> list[_Visit]:
    """Return the nodes on a differentiable path from `wrt` to the scores, in forward order."""
    active = set(wrt)
    reached: list[_Visit] = []
    for node in graph.nodes:
        visit = _enter(graph, node, active)
        if visit is not None:
            reached.append(visit)
            kept = visit.refusal is not None or node.op_type == "QuantizeLinear"
            active.update(name for name in node.output if kept or _carries(graph, name))
    needed, on_path = set(scores), []
    for visit in reversed(reached):
        if needed.intersection(visit.node.output):
            if visit.refusal is not None:
                name = visit.node.name or visit.node.output[0]
                raise UnsupportedOperator(key(visit.node), name, visit.refusal)
            on_path.append(visit)
            needed.update(visit.node.input[index] for index in visit.wanted)
    return on_path[::-1]


def _enter(graph: Graph, node: NodeProto, active: set[str]) -> _Visit | None:
    """Tell by which operands the active values enter a node; None if they end here."""
    if active.isdisjoint(operands(node)) or key(node) in NO_GRADIENT:
        return None
    rule = RULES.get(key(node))
    touched = frozenset(index for index, name in enumerate(node.input) if name in active)
    if rule is None:
        return _Visit(node, touched, BLOCKED.get(key(node), "there is no derivative rule for it"))
    quantised = [i for i in touched if not _carries(graph, node.input[i])]
    if quantised and node.op_type != "DequantizeLinear":
        return _Visit(node, touched, f"its operand '{node.input[quantised[0]]}' is quantised")
    wanted = touched.intersection(rule.differentiable(node))
    refused = touched - wanted - rule.stops
    if refused:
        name = node.input[min(refused)]
        return _Visit(node, touched, f"it has no derivative in its operand '{name}'")
    return _Visit(node, wanted) if wanted else None


def _carries(graph: Graph, value: str) -> bool:
    return bool(value) and graph.dtype(value) in {*FLOATS, TensorProto.UNDEFINED}


def _declare(graph: Graph, cotangent: str, like: str) -> None:
    """Give a cotangent the type of its value, unless that is quantised, where it is a float."""
    if _carries(graph, like):
        graph.declare(cotangent, like)


def _pull(op: Emitter, visit: _Visit, held: _Held) -> None:
    """Carry the cotangents of a node's outputs to its operands."""
    node, rule = visit.node, RULES[key(visit.node)]
    cotangents = tuple(_total(op, held, name) for name in node.output)
    if not any(cotangents):
        return
    site = Site(op.graph, node, cotangents, visit.wanted)
    for index, pulled in zip(rule.differentiable(node), rule.apply(op, site), strict=True):
        if pulled is not None and index in visit.wanted:
            _declare(op.graph, pulled, like=node.input[index])
            held.setdefault(node.input[index], []).append(pulled)


def _total(op: Emitter, held: _Held, value: str) -> str | None:
    """Sum the cotangents that have come to a value, once all of its readers are done."""
    parts = held.get(value, [])
    if len(parts) > 1:
        total = op.Add(*parts) if len(parts) == 2 else op.Sum(*parts)
        _declare(op.graph, total, like=value)
        held[value] = [total]
    return held[value][0] if parts else None
