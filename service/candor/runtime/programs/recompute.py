"""The model run where a window can reach, on what it computed of the whole row before.

Two programs. The first runs the row and gives every activation that patches need a surrounding of.
The second takes these, and computes of each activation the boxes that covering windows may change:
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
from candor.runtime.programs.indices import Feeder, Places
from candor.runtime.programs.patches import Patches
from candor.runtime.programs.reach import Boxes, Patch, Reach, reach
from candor.runtime.programs.splice import remember
from candor.runtime.programs.worth import Cost, costs_of

__all__ = ["Recipe", "Recomputation", "for_one_row", "recomputation"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known of the two programs without them.

    Attributes:
        contexts: shapes of the values that the first gives and the second takes, by name.
        cost: of both ways.
        one_by_one: whether a run of the second takes no more than one window.
        feeder: of the second.
    """

    contexts: dict[str, tuple[int, ...]]
    cost: Cost
    one_by_one: bool
    feeder: Feeder
    _source: Patch
    _reach: Reach
    _latest: dict[bytes, Places] = field(default_factory=dict)

    def boxes(self, windows: Boxes) -> list[Boxes]:
        """What windows reach."""
        return self._reach.boxes(windows)

    def matrix(self, row: Array) -> Array:
        """A row of the input, [1, ...], as patches are: [positions, values at a position]."""
        axes = self._source.axes
        turned = np.moveaxis(row, axes, range(1, 1 + len(axes)))
        n_positions = math.prod(row.shape[axis] for axis in axes)
        return np.ascontiguousarray(turned, dtype=np.float32).reshape(n_positions, -1)

    def places(self, windows: Boxes) -> Places:
        """What tells where each of some windows is; hardly longer for many than for one.

        The latest are kept: the next picture is asked about by the same windows, as a rule.
        """
        key = windows[0].tobytes() + windows[1].tobytes()
        found = self._latest.get(key)
        if found is None:
            found = self.feeder.places(self._reach.boxes(windows))
            self._latest.clear()
            self._latest[key] = found
        return found


@dataclass(frozen=True, slots=True)
class Recomputation:
    """Two programs.

    Attributes:
        first: row [1, ...] -> score, probability [1, k], contexts.
        again: contexts, baseline [positions, c], indices of m windows and the lengths of their
            parts -> score, probability [m, k].
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
    again = _for_windows(blueprint, graph, found)
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
        isinstance((again.shape(blueprint.input) or (1,))[0], int),
        Feeder(patches.operands.splicer.fed),
        found.patches[blueprint.input],
        found,
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


def _for_windows(blueprint: Blueprint, graph: Graph, found: Reach) -> Graph:
    """What patches are appended to: the graph for any number of rows, where that will do.

    It will not where a patch reads what is a constant for a single row only.
    """
    every = blueprint.graph.copy()
    read = {n for node in graph.nodes if node.output[0] in found.patches for n in node.input if n}
    beside = read - found.patches.keys() - set(every.inputs)
    fits = all(every.known(name) and every.producer(name) is None for name in beside)
    return every if fits else graph.copy()


def _appended(graph: Graph, target: Graph, blueprint: Blueprint, found: Reach) -> Patches:
    """Let all that is not a patch be computed of patches that are set into the whole."""
    patches = Patches(graph, target, found)
    patches.start(blueprint.input)
    twins = [node for node in graph.nodes if node.output[0] in found.patches]
    for node in twins:
        patches.twin(node)
    for value in [blueprint.input, *(node.output[0] for node in twins)]:
        others = [n for n in target.consumers(value) if n.output[0] not in found.patches]
        spared = 0
        for node in others:
            made = patches.instead(node)
            if made is not None and node.output[0] != blueprint.anatomy.score:
                target.replace_uses(node.output[0], made)
                spared += 1
        if spared < len(others):
            target.replace_uses(value, patches.whole(value))
    patches.operands.splicer.finish()
    return patches


def _known(shape: Sequence[int | str | None] | None) -> tuple[int, ...]:
    return tuple(extent for extent in shape or () if isinstance(extent, int))
