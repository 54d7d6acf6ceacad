"""From settings to the store of models: each loaded, counted, and kept within the memory budget."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic, perf_counter

from candor.result import ModelId
from candor.runtime.budget import Budget, Part
from candor.runtime.heap import give_back
from candor.runtime.joining import Batching
from candor.runtime.model import Model, ModelPolicy, load_model
from candor.runtime.polling import Poller
from candor.runtime.repository import Folder
from candor.runtime.session import SessionPolicy
from candor.runtime.store import Store
from candor.settings import Settings
from candor.spans import ran as note_run
from candor.wire.call import Frame

__all__ = ["following", "open_store"]

_LOG = logging.getLogger("candor.models")


def open_store(settings: Settings, frame: Frame) -> Store[Model]:
    """A store that nothing is loaded into yet; `frame` is told of every run."""
    metrics, statistics = frame.metrics, frame.statistics

    def ran(model: ModelId, program: str, rows: int, seconds: float) -> None:
        metrics.program_ran(model.name, program, rows, seconds)
        statistics.ran(model, rows, seconds)
        if settings.traces:
            note_run(program, rows, seconds, monotonic())

    def load(folder: Folder) -> Model:
        began = perf_counter()
        model = load_model(folder, policy)
        seconds = perf_counter() - began
        metrics.model_loaded(model.id, model.provider, seconds)
        _log_model("model loaded", model, provider=model.provider, seconds=round(seconds, 3))
        return model

    def drop(model: Model) -> None:
        statistics.forget(model.id)
        # The same file may be served on, loaded anew.
        if all(entry.model is None or entry.model.id != model.id for entry in store.entries()):
            metrics.model_unloaded(model.id, model.provider)
        _log_model("model dropped", model)

    def unloaded(part: Part, size_bytes: int) -> None:
        give_back()
        metrics.program_unloaded(part.model, part.program)
        _LOG.debug("unloaded", extra={**part._asdict(), "bytes": size_bytes})

    budget = Budget(settings.model_memory_bytes, unloaded)
    metrics.model_memory(lambda: budget.size_bytes)
    policy = ModelPolicy(
        session=SessionPolicy(
            settings.providers, settings.intra_op_threads, max_run_bytes=settings.max_run_bytes
        ),
        max_image_pixels=settings.max_image_pixels,
        on_run=ran,
        batching=Batching(settings.max_batch_size, settings.max_queue_delay_ms / 1000),
        budget=budget,
    )
    store = Store(settings.model_root, load, model_name=settings.model_name, on_drop=drop)
    return store


@asynccontextmanager
async def following(settings: Settings, store: Store[Model]) -> AsyncGenerator[None, None]:
    """Load everything; while the block runs, do as the disk does where `repository_mode` is poll.

    Raises:
        InvalidModel: the model root is no repository. A broken model in it is only logged.
    """
    polls = settings.repository_mode == "poll"
    name = settings.model_name
    poller = Poller(settings.model_root, store, model_name=name) if polls else None
    await asyncio.to_thread(store.load_all)
    if poller is None:
        yield
        return
    looking = asyncio.create_task(_look(poller, settings.repository_poll_s))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait((looking,))


async def _look(poller: Poller, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await asyncio.to_thread(poller.look)
        except Exception:  # noqa: BLE001 - a defect met once must not end the looking
            _LOG.exception("the repository could not be looked at; trying again")


def _log_model(event: str, model: Model, **fields: str | float) -> None:
    identity = {"model": model.id.name, "version": model.id.version, "digest": model.id.digest}
    _LOG.info(event, extra={**identity, **fields})
