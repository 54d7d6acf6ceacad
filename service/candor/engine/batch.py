"""Interactive explanations: many rows and targets out of one run, the prediction with them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from candor.engine.entry import Entry
from candor.engine.guard import Guard, refuse_overflow
from candor.engine.model import Model
from candor.engine.plan import Ask
from candor.errors import InternalError
from candor.explain.explainers import INTERACTIVE
from candor.explain.subject import Subject
from candor.result import Array, Attribution, Scores

__all__ = ["RowSays", "entry_of", "frozen", "rows_of", "run_batch"]

RowSays = tuple[Mapping[str, Array], Scores | None]
"""What the model says of one row: its own outputs, each [1, ...], and the scores [1, k]."""


def run_batch(
    model: Model, subject: Subject, asks: Sequence[Ask], known: Sequence[RowSays]
) -> list[Entry]:
    """Explain rows that share method and options in one run.

    Args:
        model: to rebuild its outputs from the run's scores.
        subject: the same model, as explainers see it.
        asks: what is asked, one or more.
        known: what the model says of each row, where that cannot be rebuilt from scores; else ().

    Raises:
        InvalidInput: the scores or the map of a row are not finite.
    """
    guard = Guard(subject)
    explain = INTERACTIVE[type(asks[0].options)]
    attributions = explain(guard, [ask.question for ask in asks], asks[0].options)
    says = known
    if not known:
        scores = guard.scores
        outputs = None if scores is None else model.outputs_from(scores)
        if scores is None or outputs is None or len(scores.score) != len(asks):
            raise InternalError(f"{attributions[0].method} did not report the scores of its run")
        says = rows_of(outputs, scores, len(asks))
    return [entry_of(attribution, row) for attribution, row in zip(attributions, says, strict=True)]


def rows_of(outputs: Mapping[str, Array], scores: Scores | None, n_rows: int) -> list[RowSays]:
    """Cut a run's results into rows that can be kept apart."""

    def says(row: int) -> RowSays:
        part = slice(row, row + 1)
        own = {
            name: frozen(array[part] if array.shape[:1] == (n_rows,) else array[None])
            for name, array in outputs.items()
        }
        if scores is None:
            return own, None
        return own, Scores(frozen(scores.score[part]), frozen(scores.probability[part]))

    return [says(row) for row in range(n_rows)]


def entry_of(attribution: Attribution, says: RowSays) -> Entry:
    """An answer that can be kept and shared.

    Raises:
        InvalidInput: the map is not finite: a derivative overflowed where the scores did not.
    """
    return Entry(_kept(attribution), *says)


def _kept(attribution: Attribution) -> Attribution:
    refuse_overflow(attribution.values, f"the map of {attribution.method} is")
    segments = attribution.segments
    return replace(
        attribution,
        values=frozen(attribution.values.astype(np.float32, copy=False)),
        segments=None if segments is None else frozen(segments.astype(np.int32, copy=False)),
        others=tuple(map(_kept, attribution.others)),
    )


def frozen(array: Array) -> Array:
    """The array, read-only, and on its own: a view would keep its whole batch in memory."""
    if array.base is not None or not array.flags.c_contiguous:
        array = array.copy()
    array.setflags(write=False)
    return array
