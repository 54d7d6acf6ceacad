"""The same job on a Ray cluster: each chunk is a task for one of a pool of actors.

An actor answers as a process of its own would, through a service or with the model loaded in it,
and writes its parts into the job's folder, which all machines share, as they share the inputs. What
comes back is how many rows a part has. A part is there wholly or not at all, so that an actor that
dies costs no more than the chunk it was at, which Ray gives to another.

Ray is imported here and nowhere else, and only when somebody asks for it.
"""

import asyncio
import logging
import os
import pickle
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from candor import errors
from candor.bulk.chunks import Chunk
from candor.bulk.job import Job, missing
from candor.bulk.parts import Counts, counts_of, part_path, remove_unfinished
from candor.bulk.places import Answerer, InProcess, Place, answering
from candor.bulk.running import run_chunks
from candor.errors import CandorError, InvalidArgument, Overloaded, Unavailable

__all__ = ["HERE", "Cluster", "connected", "run_on_cluster"]

HERE: Final = "local"
"""Instead of an address: a cluster of its own on this machine, for as long as the job runs."""

# Ray would tell its makers that it runs, what is asked of it, and on what machine; and us, line by
# line on standard error, what comes as an exception anyway.
_ENVIRONMENT: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# Ray starts an actor that died anew, and for ever; over one chunk no more than this.
_TRIES: Final = 4
_REACHED_S: Final = 10.0
# Only names of files and counts of rows go through Ray's store.
_STORE_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        ray: the package.
        n_actors: processes that work at the same time, at most.
    """

    ray: Any
    n_actors: int


@contextmanager
def connected(address: str, n_actors: int) -> Iterator[Cluster]:
    """Be connected to a cluster while the block runs; call it in the main thread.

    Args:
        address: host and port of its head, or `HERE`.
        n_actors: processes that work at the same time; each takes one CPU of the cluster.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        InvalidArgument: that is no address.
        Unavailable: there is no cluster at the address.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray: Any = import_module("ray")
    import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        how: dict[str, Any] = {"address": address}
        if address != HERE:
            _check_reached(address)
        else:
            how |= {
                "num_cpus": n_actors, "num_gpus": 0, "object_store_memory": _STORE_BYTES,
                "include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": scratch,
            }  # fmt: skip
        try:
            ray.init(**how, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise Unavailable(f"there is no Ray cluster at {address}: {error}") from error
        try:
            yield Cluster(ray, n_actors)
        finally:
            ray.shutdown()


def _check_reached(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except ValueError as error:
        raise InvalidArgument(
            f"'{address}' is no address of a Ray cluster: host and port of its head, such as "
            "10.0.0.1:6379"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"there is no Ray cluster at {address}: {error.strerror or error}"
        ) from error


async def run_on_cluster(cluster: Cluster, job: Job, place: Place) -> AsyncGenerator[Counts, None]:
    """Work on the chunks that have no part yet; tells of every part.

    Args:
        cluster: connected.
        job: begun; its folder is locked by the caller.
        place: where each actor asks.

    Raises:
        CandorError: as `running.run_chunks`, of the first actor that ended so.
        OSError: an actor could not read, write or load what it needs.
        Unavailable: the cluster was lost, or actors died again and again over one chunk.
    """
    chunks = list(missing(job))
    parts = _parts(cluster, job, place, chunks)
    try:
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield _counts(part)
    except cluster.ray.exceptions.RayError as error:
        raise Unavailable(f"Ray gave up: {error}") from error
    finally:
        # Ends all actors, and a wait in the other thread too, which an interrupt does not reach.
        cluster.ray.shutdown()
        remove_unfinished(job.out)


def _parts(
    cluster: Cluster, job: Job, place: Place, chunks: Sequence[Chunk]
) -> Iterator[dict[str, Any]]:
    """What the actors say, part by part, as they are finished and in any order."""
    if not chunks:
        return
    data = cluster.ray.data
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    items = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
    done = data.from_items(items, override_num_blocks=len(items)).map_batches(
        _Actor,
        fn_constructor_args=(job, _of_one(place)),
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(cluster.n_actors, len(chunks))),
        num_cpus=1,
    )
    yield from done.iter_rows()


class _Actor:
    """A process of the cluster: whoever answers is found once, and asked for chunk after chunk."""

    def __init__(self, job: Job, place: Place) -> None:
        self._job = job
        self._place = place
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._answerer: Answerer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Make the part of a chunk; errors go back as words, which the driver can always load."""
        chunk = pickle.loads(batch["chunk"][0])  # noqa: S301 - the driver's own
        try:
            return _says(self._runner.run(self._part(chunk)))
        except (CandorError, OSError, ImportError) as error:
            return _says(Counts(0, 0), type(error).__name__, f"{error} (on {socket.gethostname()})")

    async def _part(self, chunk: Chunk) -> Counts:
        path = part_path(self._job.out, chunk.number)
        if not path.exists():  # it does where an actor died after its part was finished
            _count_try(path, chunk)
            if self._answerer is None:
                self._answerer = await self._stack.enter_async_context(answering(self._place))
            async for _ in run_chunks(self._job, self._answerer, [chunk]):
                pass
        return counts_of(path)


def _count_try(path: Path, chunk: Chunk) -> None:
    """Keep in a file, as whoever is at it may die, how often a part was begun."""
    with path.with_name(f".{path.stem}.tries.unfinished").open("ab") as file:
        file.write(b".")
        tries = file.tell()
    if tries > _TRIES:
        raise Unavailable(
            f"each of {_TRIES} processes that worked on the {chunk.span.n_rows} rows of "
            f"{chunk.path} from row {chunk.span.first} on died of it; see whether memory suffices"
        )


def _of_one(place: Place) -> Place:
    """A place as one actor has it: it has one CPU of the cluster, whatever its machine has."""
    if isinstance(place, InProcess):
        return replace(place, settings=replace(place.settings, workers=1))
    return place


def _says(counts: Counts, error: str = "", message: str = "") -> dict[str, list[Any]]:
    return {
        "rows": [counts.rows], "failed": [counts.failed], "error": [error], "message": [message],
    }  # fmt: skip


def _counts(part: dict[str, Any]) -> Counts:
    if not part["error"]:
        return Counts(part["rows"], part["failed"])
    kind = getattr(errors, part["error"], OSError)
    raise Overloaded(part["message"], 1.0) if kind is Overloaded else kind(part["message"])
