"""The rule of Scan: a Scan the other way round, whose body is the adjoint of the body.

Each of its steps computes the step once more from the state before it, and carries back the
cotangents of the states and of what the body reads from around the loop. Source: Griewank and
Walther 2008, Evaluating Derivatives, ch. 3, with the body as one elemental.
"""

from dataclasses import dataclass

from onnx import GraphProto, NodeProto, helper

from candor.autodiff.assemble import closure
from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.order import reads
from candor.autodiff.rules.bodies import Kind, closed, opened, source
from candor.autodiff.rules.extents import zeros_like
from candor.autodiff.rules.strands import before
from candor.autodiff.rules.table import Site, vjp
from candor.autodiff.values import FLOATS

__all__: list[str] = []


@dataclass(frozen=True, slots=True)
class _Loop:
    """A Scan's parts: states come first among its operands, its results, and those of its body."""

    node: NodeProto
    body: GraphProto
    n_states: int

    @property
    def rows(self) -> range:
        """The indices of the operands that are scanned."""
        return range(self.n_states, len(self.node.input))

    @property
    def stacks(self) -> range:
        """The indices of the results that are stacked."""
        return range(self.n_states, len(self.body.output))

    def along(self, attribute: str, index: int) -> int:
        """Return the entry of an attribute, such as scan_input_axes, for an operand or result."""
        entries = next((list(a.ints) for a in self.node.attribute if a.name == attribute), [])
        return entries[index - self.n_states] if entries else 0


@dataclass(frozen=True, slots=True)
class _Wire:
    """A value of the way back: within its body, around it, and how it is scanned."""

    inner: str
    outer: str
    axis: int = 0
    direction: int = 0


def _loop(node: NodeProto) -> _Loop:
    values = {a.name: a for a in node.attribute}
    n_states = len(node.input) - values["num_scan_inputs"].i
    return _Loop(node, values["body"].g, n_states)


def _places(node: NodeProto) -> list[int]:
    """Return the operands, what the body reads from around, and the results through time."""
    return [*range(len(reads(node))), *(~index for index in _loop(node).stacks)]


@vjp("Scan", operands=_places)
def scan_loop(op: Emitter, at: Site) -> list[str | None]:
    loop, places = _loop(at.node), _places(at.node)
    prefix = op.graph.fresh("gradient/scan")
    body = opened(op.graph, loop.body, _kinds(op.graph, at, loop))
    inner = Emitter(body, prefix)
    carried, bars = _cotangents(at, loop, body, prefix)
    asked = _asked(body, at, loop) | {i: loop.body.input[i].name for i in carried}
    given = _summed(inner, loop, carried | bars)
    pulled = at.walk(body, given, list(dict.fromkeys(asked.values())))
    found = {place: own for place, value in asked.items() if (own := pulled[value])}
    sums = {
        place: _input(body, f"{prefix}/sum_{place}", asked[place])
        for place in found
        if place >= len(at.node.input)
    }
    totals = {
        **{i: found.get(i) or zeros_like(inner, asked[i]) for i in carried},
        **{place: inner.Add(held, found[place]) for place, held in sums.items()},
    }
    stacked = {i: own for i, own in found.items() if i < 0 or i in loop.rows}
    outputs = [
        body.add_output(value, f"{prefix}/out_{i}")
        for i, value in enumerate((*totals.values(), *stacked.values()))
    ]
    states = [
        *(_Wire(held, _final(op, at, i)) for i, held in carried.items()),
        *(_Wire(held, zeros_like(op, asked[place])) for place, held in sums.items()),
    ]
    rows = _rows(op, at, loop, body, bars, closure(body.nodes, outputs)[1])
    ways = [_backwards(loop, place) for place in stacked]
    results = op.Scan(
        *(wire.outer for wire in (*states, *rows)),
        outputs=len(outputs),
        body=closed(body, [wire.inner for wire in (*states, *rows)], outputs, prefix),
        num_scan_inputs=len(rows),
        scan_input_axes=[wire.axis for wire in rows],
        scan_input_directions=[wire.direction for wire in rows],
        scan_output_axes=[axis for axis, _ in ways] or None,
        scan_output_directions=[direction for _, direction in ways] or None,
    )
    named = dict(zip((*totals, *stacked), results, strict=True))
    return [named.get(place) for place in places]


def _kinds(graph: Graph, at: Site, loop: _Loop) -> dict[str, Kind]:
    """Return the kinds of the body's inputs."""
    kinds = {}
    for index, value in enumerate(loop.body.input):
        name = at.node.input[index]
        shape = list(at.shape(index))
        if index in loop.rows:
            del shape[loop.along("scan_input_axes", index)]
        kinds[value.name] = (graph.dtype(name), tuple(shape))
    return kinds


def _input(body: Graph, name: str, like: str) -> str:
    return body.add_input(name, body.dtype(like), body.shape(like) or ())


def _cotangents(
    at: Site, loop: _Loop, body: Graph, prefix: str
) -> tuple[dict[int, str], dict[int, str]]:
    """Give the body inputs for cotangents: of its float states, and of the rows it stacks."""
    states = {i: loop.body.input[i].name for i in range(loop.n_states)}
    carried = {
        i: _input(body, f"{prefix}/state_{i}", like=name)
        for i, name in states.items()
        if body.dtype(name) in FLOATS
    }
    bars = {
        i: _input(body, f"{prefix}/bar_{i}", like=loop.body.output[i].name)
        for i in loop.stacks
        if i < len(at.cotangents) and at.cotangents[i] is not None
    }
    return carried, bars


def _summed(inner: Emitter, loop: _Loop, bars: dict[int, str]) -> dict[str, str]:
    """Return the cotangent of each value that the body gives out, maybe in several places."""
    sums: dict[str, str] = {}
    for index, bar in bars.items():
        value = loop.body.output[index].name
        sums[value] = inner.Add(sums[value], bar) if value in sums else bar
    return sums


def _asked(body: Graph, at: Site, loop: _Loop) -> dict[int, str]:
    """Name the body's value for each place whose cotangent is wanted, but the states'."""
    names = reads(at.node)
    asked = {}
    for place in sorted(at.wanted):
        if place < 0:
            asked[place] = source(body, loop.body.output[~place].name)
        elif place >= len(at.node.input):
            asked[place] = names[place]
        elif place in loop.rows:
            asked[place] = loop.body.input[place].name
    return asked


def _final(op: Emitter, at: Site, index: int) -> str:
    """Return the cotangent of a final state."""
    return at.cotangents[index] or zeros_like(op, at.node.input[index])


def _rows(
    op: Emitter, at: Site, loop: _Loop, body: Graph, bars: dict[int, str], needed: set[str]
) -> list[_Wire]:
    """Return what the way back scans: states before each step, operands, cotangents."""
    names = [value.name for value in loop.body.input]
    rows = [_states_before(op, loop, body, i) for i in range(loop.n_states) if names[i] in needed]
    rows += [
        _Wire(names[i], at.node.input[i], *_backwards(loop, i))
        for i in loop.rows
        if names[i] in needed or (not rows and not bars)  # one must tell how many steps there are
    ]
    rows += [_Wire(bar, at.cotangents[i] or "", *_backwards(loop, ~i)) for i, bar in bars.items()]
    return rows


def _backwards(loop: _Loop, place: int) -> tuple[int, int]:
    """Return the axis and the direction to scan an operand in, or result i as place ~i."""
    which, index = ("output", ~place) if place < 0 else ("input", place)
    axis = loop.along(f"scan_{which}_axes", index)
    return axis, 1 - loop.along(f"scan_{which}_directions", index)


def _states_before(op: Emitter, loop: _Loop, body: Graph, index: int) -> _Wire:
    """Return a state before each step, which the loop is made to stack if it does not."""
    state, after = loop.body.input[index].name, source(body, loop.body.output[index].name)
    for place in loop.stacks:
        axis, direction = _backwards(loop, ~place)
        stacked = source(body, loop.body.output[place].name)
        if axis == 0 and stacked == state:
            return _Wire(state, loop.node.output[place], axis, direction)
        if axis == 0 and stacked == after:
            initial, values = loop.node.input[index], loop.node.output[place]
            return _Wire(state, before(op, values, initial, reverse=not direction), axis, direction)
    return _Wire(state, _stacked_too(op.graph, loop, state, body), 0, 1)


def _stacked_too(graph: Graph, loop: _Loop, state: str, body: Graph) -> str:
    """Make the loop stack a state before each of its steps."""
    name = graph.fresh(f"{state}/before")
    loop.body.node.append(helper.make_node("Identity", [state], [name], name=name))
    kind = helper.make_tensor_value_info(name, body.dtype(state), body.shape(state))
    loop.body.output.append(kind)
    for attribute in loop.node.attribute:
        if attribute.name in {"scan_output_axes", "scan_output_directions"}:
            attribute.ints.append(0)
    return graph.name_output(loop.node, len(loop.body.output) - 1)
