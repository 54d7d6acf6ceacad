"""The folder of a job: what it is, which parts are there, and that one process writes to it.

`_job.json` says what the job is, and is written before the first part; `_done.json` that all parts
are there. Names that begin with a line or a dot are passed over by those who read data sets.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from candor import __version__
from candor.bulk.asking import Question
from candor.bulk.chunks import Chunk, Survey, chunks_of
from candor.bulk.parts import Counts, Shape, counts_of, part_path, remove_unfinished
from candor.bulk.rows import Layout
from candor.client import ModelInfo
from candor.errors import InvalidArgument

__all__ = ["Job", "begin", "locked", "missing", "say_done", "shape_of", "written"]

_LAYOUT = 1
# Of these a job may have others when it goes on: no value in a part depends on them.
_FREE = ("candor", "cache")


@dataclass(frozen=True, slots=True)
class Job:
    """A job, as far as whoever works on it has to know.

    Attributes:
        out: the folder of the parts.
        inputs: as they were named.
        question: asked of every row.
        layout: of the rows.
        shape: of the parts.
        part_rows: rows of a part.
        call_rows: rows of a call, at most.
        in_flight: calls under way, at most.
        fail_fast: whether the first row with an error ends the job.
    """

    out: Path
    inputs: tuple[Path, ...]
    question: Question
    layout: Layout
    shape: Shape
    part_rows: int
    call_rows: int
    in_flight: int
    fail_fast: bool = False


def shape_of(question: Question, model: ModelInfo) -> Shape:
    """The shape of the parts that a question makes."""
    targets = question.asking.get("targets") or [[None]]
    inputs = model.explained_inputs if len(model.explained_inputs) > 1 else ()
    return Shape(tuple(question.methods), len(targets[0]), model.labels, inputs)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Be the only process that writes to a folder while the block runs.

    Raises:
        InvalidArgument: another one is at work there.
        OSError: the folder cannot be made, or not be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "_job.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidArgument(f"another candor bulk is writing to {out}") from error
        # Released by the kernel, however this process ends.
        yield


def begin(job: Job, model: ModelInfo, survey: Survey) -> None:
    """Write down what the job is, or check that it is the one that was begun here.

    Raises:
        InvalidArgument: it is another; the message names what differs. Or the folder holds
            something else.
    """
    file = job.out / "_job.json"
    says = _says(job, model, survey)
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        found = list(_differences(before, says))
        if found:
            raise InvalidArgument(
                f"{job.out} holds another job: {'; '.join(found[:3])}; "
                "go on with the same, or name another folder by --out"
            )
    elif any(job.out.glob("part-*.parquet")):
        raise InvalidArgument(f"{job.out} holds parts and no _job.json; name another folder")
    remove_unfinished(job.out)
    _write(file, says)


def missing(job: Job) -> Iterator[Chunk]:
    """The chunks that have no part yet, in order."""
    chunks = chunks_of(job.inputs, job.part_rows)
    return (chunk for chunk in chunks if not part_path(job.out, chunk.number).exists())


def written(job: Job, survey: Survey) -> Counts:
    """What the parts that are there hold together."""
    numbers = range(survey.n_parts)
    counts = [counts_of(p) for p in (part_path(job.out, n) for n in numbers) if p.exists()]
    return Counts(sum(one.rows for one in counts), sum(one.failed for one in counts))


def say_done(job: Job, counts: Counts, n_parts: int) -> None:
    """Write down that all parts are there."""
    _write(job.out / "_done.json", {**asdict(counts), "parts": n_parts})


def _says(job: Job, model: ModelInfo, survey: Survey) -> dict[str, Any]:
    question = job.question
    return {
        "layout": _LAYOUT,
        "candor": __version__,
        "model": asdict(model.id),
        "labels": list(model.labels),
        "methods": {name: dict(options) for name, options in question.methods.items()},
        "asking": {key: _plain(value) for key, value in question.asking.items() if key != "cache"},
        "cache": question.asking.get("cache"),
        "columns": list(job.layout.columns),
        "id": job.layout.id,
        "part_rows": job.part_rows,
        "inputs": [asdict(one) for one in survey.inputs],
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs, one line each; the labels of a model are too long to be shown."""
    old, new = dict(_flat(before)), dict(_flat(now))
    for key in dict.fromkeys((*old, *new)):
        if key.split(".")[0] not in _FREE and old.get(key) != new.get(key):
            yield f"{key} was {_shown(old, key)}, and is {_shown(new, key)} now"


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with the way to it, inputs by their path rather than by their place."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else name)
        if not value:
            yield key, "none"
    elif key == "inputs":
        yield key, [one["path"] for one in value]
        for one in value:
            yield from _flat({k: v for k, v in one.items() if k != "path"}, one["path"])
    else:
        yield key, value


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False)[:200] if key in leaves else "not given"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
