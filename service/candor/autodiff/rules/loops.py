"""A Scan written as a Python function of one step."""

from collections.abc import Callable, Sequence

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph

__all__ = ["Step", "scan"]

Step = Callable[[Emitter, list[str], list[str]], tuple[list[str], list[str]]]
"""(op, states, slices) -> (next states, rows to stack); it may read values around the loop."""


def scan(
    op: Emitter,
    step: Step,
    states: Sequence[str],
    sequences: Sequence[str],
    stacks: Sequence[int],
    *,
    reverse: bool,
) -> tuple[list[str], list[str]]:
    """Run a step along the first axis of some sequences.

    Returns the final states and the stacked rows; stack i has the shape of the sequence
    `stacks[i]`, and takes its place where the axis is empty, which Scan itself does not survive.
    """
    outputs = len(states) + len(stacks)
    shape = op.graph.shape(sequences[0])
    if shape and isinstance(shape[0], int) and shape[0] > 0:
        results = _scan(op, step, states, sequences, reverse=reverse)
    else:
        name = op.graph.fresh("gradient/branch")
        full, empty = op.graph.blank(f"{name}/full"), op.graph.blank(f"{name}/empty")
        inner = Emitter(full, f"{name}/full")
        some = list(_scan(inner, step, states, sequences, reverse=reverse, types=op.graph))
        other = Emitter(empty, f"{name}/empty")
        none = [other.Identity(value) for value in (*states, *(sequences[i] for i in stacks))]
        none = [empty.add_output(value, f"{name}/none:{i}") for i, value in enumerate(none)]
        condition = op.Cast(op.Squeeze(op.Shape(sequences[0], start=0, end=1), [0]), to=9)
        results = op.If(
            condition, outputs=outputs, then_branch=full.body(some), else_branch=empty.body(none)
        )
    for result, like in zip(results, (*states, *(sequences[i] for i in stacks)), strict=True):
        op.graph.declare(result, like)
    return list(results[: len(states)]), list(results[len(states) :])


def _scan(
    op: Emitter,
    step: Step,
    states: Sequence[str],
    sequences: Sequence[str],
    *,
    reverse: bool,
    types: Graph | None = None,
) -> tuple[str, ...]:
    outer = types or op.graph
    name = outer.fresh("gradient/step")
    body = outer.blank(name)
    carried = [
        body.add_input(f"{name}/state_{i}", outer.dtype(value), outer.shape(value) or ())
        for i, value in enumerate(states)
    ]
    rows = [
        body.add_input(f"{name}/row_{i}", outer.dtype(value), (outer.shape(value) or ())[1:])
        for i, value in enumerate(sequences)
    ]
    following, stacked = step(Emitter(body, name), carried, rows)
    given = [*following, *stacked]
    written = [
        body.add_output(value, f"{name}/out_{i}")
        if value in given[:i] or value in carried
        else value
        for i, value in enumerate(given)
    ]
    direction = [int(reverse)]
    return op.Scan(
        *states,
        *sequences,
        outputs=len(given),
        body=body.body(written),
        num_scan_inputs=len(sequences),
        scan_input_directions=direction * len(sequences),
        scan_output_directions=direction * len(stacked) if stacked else None,
    )
