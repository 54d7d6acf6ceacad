"""`python -m benchmarks.bulk`: what reading, ordering and writing add to explaining a data set.

The loop has every row in memory, asks for as many at a time as the job does, and forgets what is
answered. The job is all that `candor bulk` does once a model is loaded: inputs counted and read,
a part forced to the disk every 100 rows. Both take turns with one engine of one worker: in this
process, or behind a service with a core of its own.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from PIL import Image
from skimage import data

from benchmarks.interleave import Contest, Spread, machine, spread
from benchmarks.serving.processes import MODELS, here, service
from candor.bulk.asking import Question, ask_batch
from candor.bulk.chunks import chunks_of
from candor.bulk.job import Job, missing
from candor.bulk.places import Answerer, InProcess, Place, Service, answering
from candor.bulk.reading import Batch, batches_of
from candor.bulk.running import run_chunks
from candor.bulk.starting import Wanted, start
from candor.settings import load_settings


def _pictures(folder: Path, count: int) -> Path:
    """Pieces of a photograph, 150 x 150."""
    pixels = data.chelsea()
    for number in range(count):
        top, left = divmod(number, 30)
        piece = pixels[5 * top : 5 * top + 150, 9 * left : 9 * left + 150]
        Image.fromarray(piece).save(folder / f"{number:04d}.jpg")
    return folder


def _texts(folder: Path, count: int) -> Path:
    path = folder / "texts.jsonl"
    words = ("dull", "fine", "witty", "long")
    lines = (f"A {words[n % 4]} film, of {n} minutes, that I saw again." for n in range(count))
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    return path


def _records(folder: Path, count: int) -> Path:
    """Records as the model of the census takes them."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, (count, 14)).astype(np.float32)
    rows[:, 0] = rng.integers(17, 90, count)
    np.save(folder / "census.npy", rows)
    return folder / "census.npy"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Rows of one kind, and what is asked of them."""

    model: str
    method: str
    options: dict[str, str]
    count: int
    make: Callable[[Path, int], Path]


_KINDS = (
    _Kind("photos", "grad_cam", {}, 200, _pictures),
    _Kind("sentences", "gradient", {}, 400, _texts),
    _Kind("adult-mlp", "lime", {"n_samples": "100"}, 200, _records),
)


async def _loop(answerer: Answerer, job: Job, batches: list[Batch]) -> None:
    slots = asyncio.Semaphore(job.in_flight)

    async def ask(batch: Batch) -> None:
        async with slots:
            await ask_batch(answerer, job.question, batch)

    await asyncio.gather(*map(ask, batches))


async def _job(answerer: Answerer, wanted: Wanted) -> None:
    wanted.out.mkdir()
    started = await start(wanted, answerer)
    failed = 0
    async with aclosing(run_chunks(started.job, answerer, missing(started.job))) as steps:
        async for counts in steps:
            failed += counts.failed
    assert not failed, f"{failed} rows have an error"  # noqa: S101 - else nothing was measured


async def _contest(place: Place, kind: _Kind, rounds: int, folder: Path) -> Contest:
    """Seconds for all rows, in turns; the first turn of each is thrown away."""
    source = folder / "rows"
    source.mkdir()
    inputs = [kind.make(source, kind.count)]
    question = Question(kind.model, {kind.method: kind.options}, {"cache": "bypass"})
    taken: dict[str, list[float]] = {"loop": [], "job": []}
    async with answering(place) as answerer:
        for number in range(rounds + 1):
            wanted = Wanted(folder / f"out-{number}", inputs, question, part_rows=100)
            began = perf_counter()
            await _job(answerer, wanted)
            taken["job"].append(perf_counter() - began)
            begun = (await start(wanted, answerer)).job
            chunks = chunks_of(inputs, wanted.part_rows)
            batches = list(batches_of(chunks, begun.layout, begun.call_rows))
            began = perf_counter()
            await _loop(answerer, begun, batches)
            taken["loop"].append(perf_counter() - began)
    return Contest({name: seconds[1:] for name, seconds in taken.items()})


def _rate(seconds: list[float], count: int) -> Spread:
    return spread([count / s for s in seconds])


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="benchmarks.bulk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each contest (5)")
    args = parser.parse_args()
    here()
    print("| rows | where | loop, rows/s | job, rows/s | job / loop |\n|---|---|---|---|---|")
    with service() as running:
        settings = load_settings({"model_root": str(MODELS), "workers": "1"})
        for kind in _KINDS:
            places: dict[str, Place] = {
                "in process": InProcess(settings, kind.model),
                "service": Service(running.target, attempts=1),
            }
            for where, place in places.items():
                with TemporaryDirectory() as folder:
                    found = asyncio.run(_contest(place, kind, args.rounds, Path(folder)))
                loop, job = (_rate(found.seconds[name], kind.count) for name in ("loop", "job"))
                times = found.ratio("job", to="loop")
                print(
                    f"| {kind.model} {kind.method} | {where} | {loop} | {job} | {times} |",
                    flush=True,
                )
    print(f"\n({', '.join(f'{k} {v}' for k, v in machine('onnxruntime', 'pyarrow').items())})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
