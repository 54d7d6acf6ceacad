"""The model run where a window can reach, on what it computed of the whole row before.

Two programs. The first runs the row and gives every activation that patches need a surrounding of.
The second takes these, and computes of each activation the boxes that covering windows may change:
a convolution's patch is set into its surroundings first, so that it needs no padding of its own.
From the first operator on that sees all positions at once, the whole is run. Where that takes long
for several windows, it is cut into stages.

Source: Nakandala, Kumar and Papakonstantinou 2019, doi:10.1145/3299869.3319874.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from candor.autodiff import Graph, prepare
from candor.errors import Unsupported
from candor.result import Array
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_heads
from candor.runtime.programs.indices import Feeder, Places
from candor.runtime.programs.patches import Patches
from candor.runtime.programs.reach import Boxes, Patch, Reach, reach
from candor.runtime.programs.splice import remember
from candor.runtime.programs.stages import Draft, staged
from candor.runtime.programs.views import extents_of
from candor.runtime.programs.worth import Cost, costs_of

__all__ = ["STAGE_NS", "Recipe", "Recomputation", "for_one_row", "recomputation"]

STAGE_NS: Final = 18_000_000
"""Aim of a stage: with what is round it, it should end within a slice of 20 ms."""

_AT_ONCE: Final = 4
"""Windows of a run at most: they share what its operators take, and weights while they are near."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known of the two programs without them.

    Attributes:
        contexts: shapes of the values that the first gives and the second takes, by name.
        cost: of both ways.
        at_once: how many windows a run of the second takes.
        takes: names of the inputs of each of the second's stages.
        feeder: of the second.
    """

    contexts: dict[str, tuple[int, ...]]
    cost: Cost
    at_once: int
    takes: tuple[tuple[str, ...], ...]
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
    """Two programs to be.

    Attributes:
        first: row [1, ...] -> score, probability [1, k], contexts.
        again: contexts, baseline [positions, c], indices of m windows and the lengths of their
            parts -> score, probability [m, k]; in stages (`programs.stages`).
    """

    first: Draft
    again: tuple[Draft, ...]
    recipe: Recipe


def recomputation(blueprint: Blueprint, stage_ns: float = STAGE_NS) -> Recomputation:
    """Think out both programs.

    Args:
        blueprint: of the model.
        stage_ns: about how long a stage may take.

    Raises:
        Unsupported: nothing is to be gained, with the reason.
    """
    axes, graph = _axes(blueprint), for_one_row(blueprint)
    found = reach(graph, blueprint.input, axes)
    if not found.views or blueprint.anatomy.score in found.patches:
        raise Unsupported("no convolution works on parts of the row")
    again, cost = _for_windows(blueprint, graph, found), costs_of(graph, found)
    at_once = 1 if isinstance((again.shape(blueprint.input) or (1,))[0], int) else _AT_ONCE
    boxes = found.boxes(_usual(extents_of(graph, blueprint.input, axes)))
    cuts = cost.cuts(boxes, stage_ns / at_once)
    patches, ends = _appended(graph, again, blueprint, found, cuts)
    add_heads(again, blueprint)
    first = graph.copy()
    add_heads(first, blueprint)
    contexts = patches.operands.splicer.contexts
    for context, name in contexts.items():
        remember(first, context, name)
    stages = staged(again, BASELINE, ends, [SCORE, PROBABILITY])
    recipe = Recipe(
        {name: _known(again.shape(name)) for name in contexts.values()},
        cost,
        at_once,
        tuple(stage.takes for stage in stages),
        Feeder(patches.operands.splicer.fed),
        found.patches[blueprint.input],
        found,
    )
    remembered = (SCORE, PROBABILITY, *contexts.values())
    return Recomputation(Draft(first, remembered), tuple(stages), recipe)


def _axes(blueprint: Blueprint) -> tuple[int, ...]:
    """Of the input, that positions lie on."""
    shape = blueprint.graph.shape(blueprint.input) or ()
    if blueprint.kind not in {"image", "series"}:
        raise Unsupported(f"rows of kind {blueprint.kind} have no neighbourhoods")
    if not all(isinstance(extent, int) for extent in shape[1:]):
        raise Unsupported(f"input '{blueprint.input}' is of no fixed size")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise Unsupported(f"the graph takes {shape[0]} rows, no fewer")
    channel = None if blueprint.channel_axis is None else 1 + blueprint.channel_axis
    return tuple(axis for axis in range(1, len(shape)) if axis != channel)


def _usual(extents: tuple[int, ...]) -> Boxes:
    """Windows of an eighth of each side, five along each."""
    sides = np.array(extents)
    size = np.maximum(sides // 8, 1)
    low = np.stack(np.meshgrid(*np.linspace(0, sides - size, 5, dtype=np.int64).T), axis=-1)
    low = low.reshape(-1, len(sides))
    return low, low + size


def for_one_row(blueprint: Blueprint) -> Graph:
    """The graph for a single row, [1, ...], its extents inferred anew."""
    proto, weights = blueprint.graph.apart([blueprint.anatomy.score])
    del proto.graph.value_info[:]
    for given in proto.graph.input:
        given.type.tensor_type.shape.dim[0].dim_value = 1
    for made in proto.graph.output:
        for axis in made.type.tensor_type.shape.dim:
            axis.Clear()
    return prepare(proto, weights)


def _for_windows(blueprint: Blueprint, graph: Graph, found: Reach) -> Graph:
    """What patches are appended to: the graph for any number of rows, where that will do.

    It will not where a patch reads what is a constant for a single row only.
    """
    every = blueprint.graph.copy()
    read = {n for node in graph.nodes if node.output[0] in found.patches for n in node.input if n}
    beside = read - found.patches.keys() - set(every.inputs)
    fits = all(every.known(name) and every.producer(name) is None for name in beside)
    return every if fits else graph.copy()


def _appended(
    graph: Graph, target: Graph, blueprint: Blueprint, found: Reach, cuts: Sequence[str]
) -> tuple[Patches, list[str]]:
    """Let all that is not a patch be computed of patches that are set into the whole.

    Returns the patches, and of each cut before the patch of a value what is written last there.
    """
    patches = Patches(graph, target, found)
    patches.start(blueprint.input)
    twins = [node for node in graph.nodes if node.output[0] in found.patches]
    ends, last = [], patches.operands.rows[blueprint.input]
    for node in twins:
        if node.output[0] in cuts:
            ends.append(last)
        patches.twin(node)
        last = patches.operands.rows[node.output[0]]
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
    return patches, ends


def _known(shape: Sequence[int | str | None] | None) -> tuple[int, ...]:
    return tuple(extent for extent in shape or () if isinstance(extent, int))
