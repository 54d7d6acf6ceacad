"""One input of several, the others held as they are: what each method of windows asks in turn.

captum's Occlusion does the same with a tuple of inputs: each is occluded by itself.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from candor.errors import InvalidOption
from candor.explain.occlusion import occlusion, resolve_occlusion
from candor.explain.options import Occlusion
from candor.explain.parse import to_json
from candor.explain.parts import rows_of_parts
from candor.explain.question import Progress, Question
from candor.explain.subject import Covered, Geometry, Subject
from candor.result import Array, Attribution, Json, Scores

__all__ = ["occlusion_of_each", "resolve_occlusion_of_each", "resolved_for_each"]


_SETTLED = ("window", "stride", "baseline")


class Held:
    """Satisfies `explain.subject.Forward` for rows of one part of a row."""

    def __init__(self, subject: Subject, row: Array, position: int) -> None:
        """Hold a row.

        Args:
            subject: the model.
            row: of several inputs, [1, ...].
            position: of the part that is not held.
        """
        parts = subject.geometry.parts
        self.part = parts[position]
        self.x = rows_of_parts(row, subject.geometry)[position]
        self._subject = subject
        self._row = row
        start = sum(math.prod(part.shape) for part in parts[:position])
        self._own = slice(start, start + math.prod(self.part.shape))

    @property
    def geometry(self) -> Geometry:
        """How a row of the part is laid out."""
        return self.part.geometry

    @property
    def n_classes(self) -> int:
        """As the subject."""
        return self._subject.n_classes

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """As the subject: what is held is one segment more, which is always kept."""
        row, hidden = self._row.copy(), self._row.copy()
        row[:, self._own], hidden[:, self._own] = x.reshape(1, -1), baseline.reshape(1, -1)
        whole = np.full(row.shape[1], masks.shape[1], dtype=np.int64)
        whole[self._own] = np.broadcast_to(segments, self.part.shape).ravel()
        kept = np.ones((len(masks), 1), dtype=bool)
        return self._subject.perturb(row, hidden, whole, np.concatenate([masks, kept], axis=1))

    def covered(self, x: Array, baseline: Array, windows: Array) -> Covered | None:
        """Whole rows are run."""
        del x, baseline, windows
        return None

    def slices(self, n: int) -> Iterator[slice]:
        """As the subject."""
        return self._subject.slices(n)


def occlusion_of_each(
    subject: Subject, question: Question, options: Occlusion
) -> Generator[Progress, None, Attribution]:
    """`occlusion`, of several inputs each by itself; the one that is least far goes on next.

    Raises:
        CandorError: as `occlusion`.
    """
    if not subject.geometry.parts:
        return (yield from occlusion(subject, question, options))
    resolved = resolved_for_each(subject, question, options)
    inputs = [Held(subject, question.x, at) for at in range(len(resolved))]
    running = [
        occlusion(held, replace(question, x=held.x), own)
        for held, own in zip(inputs, resolved, strict=True)
    ]
    made = partial(_together, inputs, resolved, options)
    done: list[Progress] = [next(steps) for steps in running]
    ended: dict[int, Attribution] = {}
    while len(ended) < len(running):
        at = min(
            (at for at in range(len(running)) if at not in ended),
            key=lambda at: done[at].done / max(1, done[at].total),
        )
        try:
            done[at] = next(running[at])
        except StopIteration as end:
            ended[at] = end.value
            continue
        so_far = [_best(done[at], ended.get(at)) for at in range(len(running))]
        best = None if None in so_far else partial(_built, made, [one for one in so_far if one])
        yield Progress(sum(one.done for one in done), sum(one.total for one in done), best)
    return made([ended[at] for at in range(len(running))])


def resolve_occlusion_of_each(
    subject: Subject, question: Question, options: Occlusion
) -> Occlusion:
    """As `resolve_occlusion`; of several inputs each has its own, and the options stay as given.

    Raises:
        InvalidOption: they do not fit one of the inputs.
    """
    if not subject.geometry.parts:
        return resolve_occlusion(subject, question, options)
    resolved = resolved_for_each(subject, question, options)
    return options if len(resolved) > 1 else resolved[0]


def resolved_for_each(subject: Subject, question: Question, options: Occlusion) -> list[Occlusion]:
    """The options for each input.

    Raises:
        InvalidOption: they do not fit one of the inputs.
    """
    found = []
    for position, part in enumerate(subject.geometry.parts):
        held = Held(subject, question.x, position)
        try:
            found.append(resolve_occlusion(held, replace(question, x=held.x), options))
        except InvalidOption as error:
            raise InvalidOption(
                f"input '{part.name}': {error.message}; left out, each input has its own"
            ) from error
    return found


def _best(progress: Progress, ended: Attribution | None) -> Callable[[], Attribution] | None:
    return progress.best if ended is None else lambda: ended


def _built(
    made: Callable[[Sequence[Attribution]], Attribution],
    parts: Sequence[Callable[[], Attribution]],
) -> Attribution:
    return made([part() for part in parts])


def _together(
    inputs: Sequence[Held],
    resolved: Sequence[Occlusion],
    options: Occlusion,
    answers: Sequence[Attribution],
) -> Attribution:
    """One answer of all; where one is cut short, each says that it is."""
    complete = all(answer.trust["complete"] for answer in answers)
    if len(answers) == 1:
        return answers[0]
    first, *others = (
        replace(
            answer, input=held.part.name, trust=_told(answer, held, own, options, complete=complete)
        )
        for answer, held, own in zip(answers, inputs, resolved, strict=True)
    )
    return replace(first, others=tuple(others))


def _told(
    answer: Attribution, held: Held, own: Occlusion, options: Occlusion, *, complete: bool
) -> dict[str, Json]:
    """The record of one map: options as they were given repeat the call, what they were is told."""
    figures = answer.trust["figures"]
    known = figures if isinstance(figures, dict) else {}
    settled = to_json(own)
    return {
        **answer.trust,
        "options": to_json(options),
        "complete": complete,
        "figures": {**known, **{name: settled[name] for name in _SETTLED}},
        "input": held.part.name,
    }
