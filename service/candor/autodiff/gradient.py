"""The reverse walk: d(scores . cotangents) / d(values), appended to the graph.

Only the nodes between the values asked for and the scores are visited, so weights never need a
gradient. Source of the shape of it: Griewank and Walther 2008, Evaluating Derivatives, ch. 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onnx import NodeProto, TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.order import operands, reads
from candor.autodiff.quantised import QUANTISED, QUANTISERS
from candor.autodiff.rules import BLOCKED, NO_GRADIENT, RULES, Site, Woven, key, total, widened
from candor.autodiff.values import FLOATS
from candor.errors import NotFound, Unsupported, UnsupportedOperator

__all__ = ["gradient"]

_Held = dict[str, list[str]]

_OWN_TYPE: Final = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})


@dataclass(frozen=True, slots=True)
class _Visit:
    """A node that the active values flow through, and the operands they enter by."""

    node: NodeProto
    wanted: frozenset[int]
    refusal: str | None = None


def gradient(
    graph: Graph, cotangents: Mapping[str, str], wrt: Sequence[str], states: Sequence[str] = ()
) -> dict[str, str]:
    """Append the way back from values with given cotangents; name the gradient of each `wrt`.

    `cotangents` maps a value to the value that holds its cotangent: of the same shape, and float32
    or, where the value is, float64. The gradients are so too.
    The gradient with respect to an intermediate value is the total one: over every path from it,
    and the cotangent itself where it is among the values that have one. But a layer that runs over
    time is one operator, whose later states depend on the earlier ones within it: `states` names
    such results of it that hold its states (the Y of an LSTM, GRU or RNN, a state that a Scan
    stacks), which are to be differentiated through time; none of them may be in `wrt` too.

    Raises:
        NotFound: if a value is not in the graph.
        Unsupported: if a value is not of a float type, or no score depends on it.
        UnsupportedOperator: if an operator on the way has no rule or refuses this node.
    """
    _check(graph, cotangents, [*wrt, *states])
    found = _walk(graph, cotangents, wrt, states)
    if lost := [value for value, total in found.items() if total is None]:
        scores = ", ".join(f"'{value}'" for value in cotangents)
        raise Unsupported(f"{scores} does not depend on '{lost[0]}' in a differentiable way")
    return {value: total for value, total in found.items() if total is not None}


def _walk(
    graph: Graph, cotangents: Mapping[str, str], wrt: Sequence[str], states: Sequence[str] = ()
) -> dict[str, str | None]:
    visits = _between(graph, wrt, cotangents, states)
    op = Emitter(graph, "gradient")
    held: _Held = {value: [cotangent] for value, cotangent in cotangents.items()}
    woven: dict[str, Woven] = {}
    for visit in reversed(visits):
        _pull(op, visit, held, woven)
    found = {value: _total(op, held, value, woven) for value in wrt}
    return found | {value: _total(op, held, _through_time(value), woven) for value in states}


def _check(graph: Graph, cotangents: Mapping[str, str], wrt: Sequence[str]) -> None:
    if absent := [v for v in (*cotangents, *cotangents.values(), *wrt) if not graph.known(v)]:
        raise NotFound(f"the graph has no value '{absent[0]}'")
    for value in (*cotangents, *wrt):
        if (dtype := graph.dtype(value)) not in FLOATS:
            name = TensorProto.DataType.Name(dtype).lower()
            raise Unsupported(f"value '{value}' is {name}; only float values have a gradient")


def _between(
    graph: Graph, wrt: Sequence[str], scores: Mapping[str, str], states: Sequence[str]
) -> list[_Visit]:
    """Return the nodes on a differentiable path from what is asked to the scores, in order."""
    active = {*wrt, *states}
    reached: list[_Visit] = []
    for node in graph.nodes:
        visit = _with_states(node, _enter(node, active), states)
        if visit is not None:
            reached.append(visit)
            active.update(_reached(graph, visit))
    needed, on_path = set(scores), []
    for visit in reversed(reached):
        if needed.intersection(visit.node.output):
            if visit.refusal is not None:
                name = visit.node.name or visit.node.output[0]
                raise UnsupportedOperator(key(visit.node), name, visit.refusal)
            on_path.append(visit)
            needed.update(reads(visit.node)[index] for index in visit.wanted if index >= 0)
    return on_path[::-1]


def _enter(node: NodeProto, active: set[str]) -> _Visit | None:
    """Tell by which operands the active values enter a node; None if they end here."""
    if active.isdisjoint(operands(node)) or key(node) in NO_GRADIENT:
        return None
    rule = RULES.get(key(node))
    touched = frozenset(index for index, name in enumerate(reads(node)) if name in active)
    if rule is None:
        return _Visit(node, touched, BLOCKED.get(key(node), "there is no derivative rule for it"))
    wanted = touched.intersection(rule.differentiable(node))
    refused = touched - wanted - rule.stops
    if refused:
        name = reads(node)[min(refused)]
        return _Visit(node, touched, f"it has no derivative in its operand '{name}'")
    return _Visit(node, wanted) if wanted else None


def _with_states(node: NodeProto, visit: _Visit | None, states: Sequence[str]) -> _Visit | None:
    """Ask a node for the derivative through time of those of its results that are named."""
    asked = frozenset(~i for i, name in enumerate(node.output) if name in states)
    if not asked or (visit is not None and visit.refusal is not None):
        return visit
    rule = RULES.get(key(node))
    if rule is None or not asked.issubset(rule.differentiable(node)):
        return _Visit(node, asked, f"its result '{node.output[~max(asked)]}' holds no states")
    return _Visit(node, asked if visit is None else visit.wanted | asked)


def _place(node: NodeProto, index: int) -> str:
    return reads(node)[index] if index >= 0 else node.output[~index]


def _through_time(value: str) -> str:
    return f"{value}, through time"  # never a name: it is held beside the values' own


def _reached(graph: Graph, visit: _Visit) -> list[str]:
    """Name the results of a node that the active values flow on in."""
    node = visit.node
    if visit.refusal is not None:
        return [name for name in node.output if name]
    if key(node) in QUANTISERS:
        return [node.output[0]]  # its other results, a scale and a zero, follow from the range
    names = reads(node)
    counted = any(graph.dtype(names[i]) in QUANTISED for i in visit.wanted if i >= 0)
    return [
        name
        for name in node.output
        if _carries(graph, name) or (counted and graph.dtype(name) in QUANTISED)
    ]


def _carries(graph: Graph, value: str) -> bool:
    return bool(value) and graph.dtype(value) in {*FLOATS, TensorProto.UNDEFINED}


def _declare(graph: Graph, cotangent: str, like: str) -> None:
    """Give a cotangent the shape of its value, where that has a cotangent of its own type."""
    if graph.dtype(like) in _OWN_TYPE:
        graph.declare(cotangent, like)


def _pull(op: Emitter, visit: _Visit, held: _Held, woven: dict[str, Woven]) -> None:
    """Carry the cotangents of a node's outputs to its operands."""
    node, rule = visit.node, RULES[key(visit.node)]
    cotangents = tuple(_total(op, held, name, woven) for name in node.output)
    if not any(cotangents):
        return
    site = widened(op, Site(op.graph, node, cotangents, visit.wanted, _walk, woven))
    for index, pulled in zip(rule.differentiable(node), rule.apply(op, site), strict=True):
        if pulled is not None and index in visit.wanted:
            _declare(op.graph, pulled, like=_place(site.node, index))
            own = _place(node, index)
            held.setdefault(own if index >= 0 else _through_time(own), []).append(pulled)


def _total(op: Emitter, held: _Held, value: str, woven: dict[str, Woven]) -> str | None:
    """Sum the cotangents that have come to a value, once all of its readers are done."""
    parts = held.get(value, [])
    if len(parts) > 1:
        whole = total(op, parts, woven)
        _declare(op.graph, whole, like=value)
        held[value] = [whole]
    return held[value][0] if parts else None
