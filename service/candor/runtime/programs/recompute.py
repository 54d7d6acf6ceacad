"""The model run where a window can reach, on what it computed of the whole row before.

Two programs. The first runs the row and gives every activation that patches need a surrounding of.
The second takes these, and computes of each activation the box that covering one window may change:
a convolution's patch is set into its surroundings first, so that it needs no padding of its own.
From the first operator on that sees all positions at once, the whole is run.

Source: Nakandala, Kumar and Papakonstantinou 2019, doi:10.1145/3299869.3319874.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from candor.autodiff import Graph, prepare
from candor.errors import Unsupported
from candor.result import Array
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_heads
from candor.runtime.programs.patches import Patches
from candor.runtime.programs.reach import Boxes, Patch, Reach, is_mean, reach
from candor.runtime.programs.splice import INDICES, LENGTHS, Given, Key, Vectors, remember
from candor.runtime.programs.worth import Cost, costs_of

__all__ = ["Places", "Recipe", "Recomputation", "for_one_row", "recomputation"]

Places = tuple[tuple[Key, ...], tuple[int, ...]]
"""Of a window: for each vector that is fed, what it depends on, and what is added to it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known of the two programs without them.

    Attributes:
        contexts: shapes of the values that the first gives and the second takes, by name.
        cost: of both ways.
    """

    contexts: dict[str, tuple[int, ...]]
    cost: Cost
    _source: Patch
    _reach: Reach
    _fed: tuple[Given, ...]
    _kept: Vectors = field(default_factory=Vectors)

    def boxes(self, windows: Boxes) -> list[Boxes]:
        """What windows reach."""
        return self._reach.boxes(windows)

    def matrix(self, row: Array) -> Array:
        """A row of the input, [1, ...], as patches are: [positions, values at a position]."""
        axes = self._source.axes
        turned = np.moveaxis(row, axes, range(1, 1 + len(axes)))
        n_positions = math.prod(row.shape[axis] for axis in axes)
        return np.ascontiguousarray(turned, dtype=np.float32).reshape(n_positions, -1)

    def places(self, windows: Boxes) -> list[Places]:
        """What tells where each of some windows is; hardly longer for many than for one."""
        boxes = self._reach.boxes(windows)
        each = [map(tuple, vector.keys(boxes).tolist()) for vector in self._fed]
        shifts = [
            [0] * len(windows[0]) if vector.shift is None else vector.shift(boxes).tolist()
            for vector in self._fed
        ]
        return list(zip(zip(*each, strict=True), zip(*shifts, strict=True), strict=True))

    def fed(self, places: Places) -> dict[str, Array]:
        """Where the second program finds what a window reaches."""
        vectors = list(map(self._kept.of, self._fed, places[0]))
        lengths = list(map(len, vectors))
        indices = np.concatenate(vectors)
        indices += np.repeat(np.array(places[1], np.int32), lengths)
        return {INDICES: indices, LENGTHS: np.array([lengths], np.int64)}


@dataclass(frozen=True, slots=True)
class Recomputation:
    """Two programs.

    Attributes:
        first: row [1, ...] -> score, probability [1, k], contexts.
        again: contexts, baseline [positions, c], indices and the lengths of their parts ->
            score, probability [1, k].
    """

    first: ModelProto
    again: ModelProto
    recipe: Recipe


def recomputation(blueprint: Blueprint) -> Recomputation:
    """Make both programs.

    Raises:
        Unsupported: nothing is to be gained, with the reason.
    """
    shape = blueprint.graph.shape(blueprint.input) or ()
    if blueprint.kind not in {"image", "series"}:
        raise Unsupported(f"rows of kind {blueprint.kind} have no neighbourhoods")
    if not all(isinstance(extent, int) for extent in shape[1:]):
        raise Unsupported(f"input '{blueprint.input}' is of no fixed size")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise Unsupported(f"the graph takes {shape[0]} rows, no fewer")
    graph = for_one_row(blueprint)
    channel = None if blueprint.channel_axis is None else 1 + blueprint.channel_axis
    axes = tuple(axis for axis in range(1, len(shape)) if axis != channel)
    found = reach(graph, blueprint.input, axes)
    if not found.views or blueprint.anatomy.score in found.patches:
        raise Unsupported("no convolution works on parts of the row")
    again = graph.copy()
    patches = _appended(graph, again, blueprint, found)
    add_heads(again, blueprint)
    first = graph.copy()
    add_heads(first, blueprint)
    contexts = patches.operands.splicer.contexts
    for context, name in contexts.items():
        remember(first, context, name)
    recipe = Recipe(
        {name: _known(again.shape(name)) for name in contexts.values()},
        costs_of(graph, found),
        found.patches[blueprint.input],
        found,
        tuple(patches.operands.splicer.fed),
    )
    return Recomputation(
        first.finish([SCORE, PROBABILITY, *contexts.values()]),
        again.finish([SCORE, PROBABILITY]),
        recipe,
    )


def for_one_row(blueprint: Blueprint) -> Graph:
    """The graph for a single row, [1, ...], its extents inferred anew."""
    proto = blueprint.graph.copy().finish([blueprint.anatomy.score])
    del proto.graph.value_info[:]
    for given in proto.graph.input:
        given.type.tensor_type.shape.dim[0].dim_value = 1
    for made in proto.graph.output:
        for axis in made.type.tensor_type.shape.dim:
            axis.Clear()
    return prepare(proto)


def _appended(graph: Graph, target: Graph, blueprint: Blueprint, found: Reach) -> Patches:
    """Let all that is not a patch be computed of patches that are set into the whole."""
    patches = Patches(graph, target, found)
    patches.start(blueprint.input)
    twins = [node for node in graph.nodes if node.output[0] in found.patches]
    for node in twins:
        patches.twin(node)
    for value in [blueprint.input, *(node.output[0] for node in twins)]:
        others = [n for n in graph.consumers(value) if n.output[0] not in found.patches]
        means = [
            node
            for node in others
            if is_mean(graph, node, found.patches[value])
            and node.output[0] != blueprint.anatomy.score
        ]
        for node in means:
            target.replace_uses(node.output[0], patches.mean(node))
        if len(means) < len(others):
            target.replace_uses(value, patches.whole(value))
    patches.operands.splicer.finish()
    return patches


def _known(shape: Sequence[int | str | None] | None) -> tuple[int, ...]:
    return tuple(extent for extent in shape or () if isinstance(extent, int))
