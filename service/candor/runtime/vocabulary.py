"""Which token ids a model knows: as many as its embedding has rows, else as its vocabulary has.

ONNX Runtime counts a negative id from the table's end, so that -1 would quietly be the last word.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from onnx import GraphProto, NodeProto

from candor.errors import InvalidInput
from candor.result import Array

__all__ = ["known_ids", "refuse_unknown_ids"]

_KEEPS_IDS = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
_KEEPS_ROWS = frozenset({"Cast", "DequantizeLinear", "Identity"})


def known_ids(graph: GraphProto, vocabulary: Mapping[str, int]) -> dict[str, int]:
    """Find how many ids each input may hold: 0 to one less than that.

    Args:
        graph: of the model, as delivered.
        vocabulary: number of tokens that the manifest has for an input; a table in the graph, which
            is what the ids really index, comes before it.

    Returns:
        Inputs that are looked up as they are in a constant table of rank 2; others are missing.
    """
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    tables = _tables(graph)
    found = dict(vocabulary)
    for value in graph.input:
        if rows := [tables[table] for table in _looked_up(value.name, readers) if table in tables]:
            found[value.name] = min(rows)
    return found


def refuse_unknown_ids(tensors: Mapping[str, Array], known: Mapping[str, int]) -> None:
    """Refuse token ids that the model does not know.

    Raises:
        InvalidInput: an id is negative, or not less than what its input knows.
    """
    for name, n_ids in known.items():
        ids = tensors[name]
        if ids.dtype.kind not in "iu" or not ids.size or (ids.min() >= 0 and ids.max() < n_ids):
            continue
        at = tuple(np.argwhere((ids < 0) | (ids >= n_ids))[0].tolist())
        row = f"row {at[0]}: " if at else ""
        where = f" at position {', '.join(map(str, at[1:]))}" if at[1:] else ""
        raise InvalidInput(
            f"{row}input '{name}' holds {int(ids[at])}{where}, expected a token id: the model "
            f"knows 0 to {n_ids - 1}"
        )


def _tables(graph: GraphProto) -> dict[str, int]:
    """Rows of every constant table of two axes, under each name that it goes by."""
    rows = {value.name: value.dims[0] for value in graph.initializer if len(value.dims) == 2}
    for node in graph.node:  # in topological order, by ONNX's own rule
        if node.op_type == "Constant":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
            if tensor is not None and len(tensor.dims) == 2:
                rows[node.output[0]] = tensor.dims[0]
        elif node.op_type in _KEEPS_ROWS and node.input[0] in rows:
            rows[node.output[0]] = rows[node.input[0]]
    # an initialiser that is an input as well is a default, which the caller may replace
    return {name: n for name, n in rows.items() if name not in {v.name for v in graph.input}}


def _looked_up(ids: str, readers: Mapping[str, list[NodeProto]]) -> Iterator[str]:
    """The tables that a value indexes by rows, itself or after a change of form or type."""
    for node in readers.get(ids, ()):
        if node.op_type == "Gather" and node.input[1] == ids:
            if not any(a.name == "axis" and a.i != 0 for a in node.attribute):
                yield node.input[0]
        elif node.op_type in _KEEPS_IDS and node.input[0] == ids:
            yield from _looked_up(node.output[0], readers)
