"""What a node reads, and an order in which everything is written before it is read.

A node reads its inputs and, if it holds subgraphs (If, Loop, Scan), the outer values they capture.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush

from onnx import GraphProto, NodeProto

from candor.errors import InvalidModel

__all__ = ["captures", "names_in", "operands", "reads", "rename", "topological"]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds as attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def operands(node: NodeProto) -> list[str]:
    """Name every value that a node reads, the ones captured by its subgraphs included."""
    return [name for name in reads(node) if name]


def reads(node: NodeProto) -> list[str]:
    """Name a node's inputs, "" for one left out, and after them what its subgraphs capture."""
    captured = [name for body in subgraphs(node) for name in captures(body)]
    return [*node.input, *dict.fromkeys(captured)]


def names_in(node: NodeProto) -> list[str]:
    """Name everything that a node mentions: itself, its values, and those in its subgraphs."""
    inner = [name for body in subgraphs(node) for n in body.node for name in names_in(n)]
    return [node.name, *node.input, *node.output, *inner]


def rename(node: NodeProto, old: str, new: str) -> None:
    """Make a node and its subgraphs read another value, except where a subgraph has its own."""
    node.input[:] = [new if name == old else name for name in node.input]
    for body in subgraphs(node):
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        if old not in own.union(*(inner.output for inner in body.node)):
            for inner in body.node:
                rename(inner, old, new)
            for value in body.output:
                value.name = new if value.name == old else value.name


def captures(body: GraphProto) -> list[str]:
    """Name the values that a subgraph reads from the graph around it."""
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own |= {name for node in body.node for name in node.output}
    read = [name for node in body.node for name in operands(node)]
    read += [value.name for value in body.output]
    return [name for name in dict.fromkeys(read) if name not in own]


def topological(nodes: Sequence[NodeProto], available: Iterable[str]) -> list[NodeProto]:
    """Sort nodes so that each comes after the producers of what it reads; stable otherwise.

    Raises:
        InvalidModel: if the graph has a cycle or reads a value that nothing produces.
    """
    made = set(available)
    writer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waits: list[set[int]] = []
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        missing = [name for name in operands(node) if name not in made]
        if unknown := next((name for name in missing if name not in writer), None):
            raise InvalidModel(
                f"node '{node.name}' ({node.op_type}) reads '{unknown}', "
                "which nothing in the graph produces"
            )
        waits.append({writer[name] for name in missing})
        for source in waits[-1]:
            readers[source].append(index)
    return [nodes[index] for index in _released(waits, readers)]


def _released(waits: list[set[int]], readers: list[list[int]]) -> Iterator[int]:
    done = 0
    ready = [index for index, sources in enumerate(waits) if not sources]  # sorted: a heap
    while ready:
        index = heappop(ready)
        yield index
        done += 1
        for reader in readers[index]:
            waits[reader].discard(index)
            if not waits[reader]:
                heappush(ready, reader)
    if done < len(waits):
        raise InvalidModel("the graph has a cycle")
