"""An explanation and what it is compared with, in turns slice by slice.

An explanation of a thousand samples takes half a minute, in which a shared machine is slow and fast
by turns. So after every slice the contender does as much, and both are slowed down alike. Time is
the processor's: everything here has one thread, and what others do does not count.
"""

import gc
from collections.abc import Callable, Generator
from time import process_time
from typing import NamedTuple

from candor.explain.question import Progress
from candor.result import Attribution

__all__ = ["Steps", "Turns", "finished", "in_turns"]

Steps = Generator[Progress, None, Attribution]


class Turns(NamedTuple):
    """Seconds, and what was found.

    Attributes:
        spent_s: by the explanation, from the question to the answer.
        bare_s: by as many evaluations of the contender as the explanation made.
        n_evaluations: how many that were.
        answer: the explanation.
    """

    spent_s: float
    bare_s: float
    n_evaluations: int
    answer: Attribution


def in_turns(steps: Steps, contender: Callable[[], object], rows: int) -> Turns:
    """Explain, and let the contender, which evaluates so many rows a call, keep up."""
    spent = bare = 0.0
    n_bare = 0
    gc.disable()
    try:
        while True:
            began = process_time()
            try:
                progress = next(steps)
            except StopIteration as end:
                spent += process_time() - began
                answer: Attribution = end.value
                n = _evaluations(answer)
                return Turns(spent, bare * n / n_bare, n, answer)
            spent += process_time() - began
            while n_bare < progress.done:
                began = process_time()
                contender()
                bare += process_time() - began
                n_bare += rows
    finally:
        gc.enable()


def _evaluations(answer: Attribution) -> int:
    n = answer.trust["n_evaluations"]
    return n if isinstance(n, int) else 0


def finished(steps: Steps) -> Attribution:
    """Explain, to the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Attribution = end.value
            return answer
