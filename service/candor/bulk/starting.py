"""The steps before the first part of a job: who answers, what is asked, which rows there are."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from candor.bulk.asking import Question, ask_model, check_asked
from candor.bulk.chunks import Survey, chunks_of, survey
from candor.bulk.job import Job, begin, shape_of, written
from candor.bulk.parts import Counts
from candor.bulk.places import Answerer
from candor.bulk.reading import batches_of
from candor.bulk.rows import layout_of
from candor.errors import InvalidInput, TooLarge

__all__ = ["Started", "Wanted", "start"]

# Enough that one that is odd does not speak for all.
_TRIED_ROWS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as a person asks for it; the fields are those of `Job` and `Layout`."""

    out: Path
    inputs: Sequence[Path]
    question: Question
    columns: Sequence[str] = ()
    id: str = ""
    part_rows: int = 1000
    call_rows: int = 8
    in_flight: int = 8
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A job that can be worked on, and what of it is done already."""

    job: Job
    survey: Survey
    before: Counts


async def start(wanted: Wanted, answerer: Answerer) -> Started:
    """Find out all that a job has to know, and write it down; its folder is locked by the caller.

    Raises:
        CandorError: there is no such model, it cannot be asked so, an input is not what it should
            be, or the folder holds another job. Nothing is written then.
    """
    model = await ask_model(answerer, wanted.question)
    # From here on this version and no newer one, whatever becomes of the repository.
    asking = {**wanted.question.asking, "version": model.id.version}
    question = replace(wanted.question, asking=asking, digest=model.id.digest)
    job = Job(
        out=wanted.out,
        inputs=tuple(wanted.inputs),
        question=question,
        layout=layout_of(model, wanted.columns, wanted.id),
        shape=shape_of(question, model),
        part_rows=wanted.part_rows,
        call_rows=wanted.call_rows,
        in_flight=wanted.in_flight,
        fail_fast=wanted.fail_fast,
    )
    found = await asyncio.to_thread(survey, job.inputs, job.part_rows, job.layout)
    await _check(job, answerer)
    begin(job, model, found)
    return Started(job, found, written(job, found))


async def _check(job: Job, answerer: Answerer) -> None:
    """Ask what the first rows would cost: a wrong option must not become an error in every row."""
    first = islice(chunks_of(job.inputs, job.part_rows), 1)
    batch = next(batches_of(first, job.layout, _TRIED_ROWS))
    payloads = [row.payload for row in batch.rows if row.payload is not None]
    error = await check_asked(answerer, job.question, payloads)
    # Of rows that are wrong each will say so itself.
    if error is not None and not isinstance(error, InvalidInput | TooLarge):
        raise error
