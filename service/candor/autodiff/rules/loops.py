"""Scans written as Python functions of one step; those of equally many steps run as one."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph

__all__ = ["Loop", "Looping", "Results", "braid"]

Step = Callable[[Emitter, list[str], list[str]], tuple[list[str], list[str]]]
"""(op, states, rows) -> (next states, rows to stack); it may read values around the loop."""

Results = tuple[list[str], list[str]]
"""The final states, and what was stacked."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A step to be run along the first axis of some sequences, from some states on.

    What is stacked i-th has the shape of the sequence `stacks[i]`, which takes its place where
    there are no steps, which Scan itself does not survive.
    """

    step: Step
    states: Sequence[str]
    sequences: Sequence[str]
    stacks: Sequence[int]
    reverse: bool

    @property
    def empty(self) -> list[str]:
        """What the loop gives if it has no steps."""
        return [*self.states, *(self.sequences[i] for i in self.stacks)]


T = TypeVar("T")
Looping = Generator[Loop, Results, T]
"""A computation that has loops run for it: `states, stacked = yield Loop(...)`."""


def braid(op: Emitter, computations: Sequence[Looping[T]]) -> list[T]:
    """Run computations that have equally many loops, each time all of their loops in one Scan.

    A Scan costs about as much per step as one of its operators.
    """
    asked = [next(computation) for computation in computations]
    while True:
        results = _scans(op, asked)
        asked, done = [], []
        for computation, result in zip(computations, results, strict=True):
            try:
                asked.append(computation.send(result))
            except StopIteration as stop:
                done.append(stop.value)
        if done:
            return done


def _scans(op: Emitter, loops: Sequence[Loop]) -> list[Results]:
    shape = op.graph.shape(loops[0].sequences[0])
    if shape and isinstance(shape[0], int) and shape[0] > 0:
        results = _scan(op, loops, op.graph)
    else:
        name = op.graph.fresh("gradient/branch")
        full, empty = op.graph.blank(f"{name}/full"), op.graph.blank(f"{name}/empty")
        some = _scan(Emitter(full, f"{name}/full"), loops, op.graph)
        other = Emitter(empty, f"{name}/empty")
        none = [
            empty.add_output(other.Identity(value), f"{name}/none:{i}")
            for i, value in enumerate(_ordered([(lp.empty, len(lp.states)) for lp in loops]))
        ]
        steps = op.Squeeze(op.Shape(loops[0].sequences[0], start=0, end=1), [0])
        results = op.If(
            op.Cast(steps, to=9),
            outputs=len(none),
            then_branch=full.body(list(some)),
            else_branch=empty.body(none),
        )
    ordered = _ordered([(loop.empty, len(loop.states)) for loop in loops])
    for result, like in zip(results, ordered, strict=True):
        op.graph.declare(result, like)
    return _apart(list(results), loops)


def _ordered(values: Sequence[tuple[list[str], int]]) -> list[str]:
    """Put the states of all loops before their rows, as Scan wants them."""
    states = [value for listed, n in values for value in listed[:n]]
    return states + [value for listed, n in values for value in listed[n:]]


def _apart(values: list[str], loops: Sequence[Loop]) -> list[Results]:
    """Give each loop its own of the states and rows of all."""
    states = iter(values[: sum(len(loop.states) for loop in loops)])
    rows = iter(values[sum(len(loop.states) for loop in loops) :])
    return [
        ([next(states) for _ in loop.states], [next(rows) for _ in loop.stacks]) for loop in loops
    ]


def _scan(op: Emitter, loops: Sequence[Loop], outer: Graph) -> tuple[str, ...]:
    name = outer.fresh("gradient/step")
    body = outer.blank(name)
    inputs = _ordered([([*lp.states, *lp.sequences], len(lp.states)) for lp in loops])
    n_states = sum(len(loop.states) for loop in loops)
    given = [
        body.add_input(
            f"{name}/{'state' if i < n_states else 'row'}_{i}",
            outer.dtype(value),
            (outer.shape(value) or ())[0 if i < n_states else 1 :],
        )
        for i, value in enumerate(inputs)
    ]
    states, rows, written = iter(given[:n_states]), iter(given[n_states:]), []
    step = Emitter(body, name)
    for loop in loops:
        own = [next(states) for _ in loop.states], [next(rows) for _ in loop.sequences]
        following, stacked = loop.step(step, *own)
        written.append(([*following, *stacked], len(following)))
    outputs = _ordered(written)
    outputs = [
        body.add_output(value, f"{name}/out_{i}")
        if value in outputs[:i] or value in given
        else value
        for i, value in enumerate(outputs)
    ]
    return op.Scan(
        *inputs,
        outputs=len(outputs),
        body=body.body(outputs),
        num_scan_inputs=len(inputs) - n_states,
        scan_input_directions=[int(lp.reverse) for lp in loops for _ in lp.sequences],
        scan_output_directions=[int(lp.reverse) for lp in loops for _ in lp.stacks] or None,
    )
