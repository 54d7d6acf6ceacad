"""The composition root: every part built once, started in order, stopped in reverse.

Start: models, cache, workers, engine, then the ports; ready when all of them are. Stop: say so,
refuse new work, let what is in flight finish within `drain_s`.
"""

import asyncio
import ctypes
import logging
import signal
import warnings
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter

import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from candor import __version__
from candor.engine.digest import cache_secret
from candor.engine.engine import Engine
from candor.engine.house import House
from candor.engine.workers import Limits, Workers
from candor.log import start_logging
from candor.metrics import Metrics
from candor.opening import (
    Doors,
    open_cache,
    open_doors,
    open_keys,
    open_tls,
    secret_material,
)
from candor.result import ModelId
from candor.runtime.joining import Batching
from candor.runtime.model import Model, ModelPolicy, load_model
from candor.runtime.repository import Folder
from candor.runtime.session import SessionPolicy
from candor.runtime.store import Store
from candor.settings import Settings
from candor.wire.call import Frame
from candor.wire.health import Readiness
from candor.wire.services import Services
from candor.wire.triton_metrics import TritonMetrics

__all__ = ["Service", "serve", "serving"]

_LOG = logging.getLogger("candor.app")

# glibc's names for what mallopt changes (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MALLOPT = (
    (_M_MMAP_THRESHOLD, 32 * 2**20),
    (_M_TRIM_THRESHOLD, 256 * 2**20),
    (_M_TOP_PAD, 16 * 2**20),
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that answers.

    Attributes:
        doors: its ports.
    """

    doors: Doors
    engine: Engine
    store: Store[Model]
    readiness: Readiness


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[Service, None]:
    """Serve while the block runs; drain when it ends.

    Raises:
        InvalidModel: the model root is no repository. A broken model in it is only logged.
        InvalidOption: a setting that cannot be followed.
        OSError: an address that cannot be bound.
    """
    tls = open_tls(settings)
    metrics = Metrics(_registry())
    readiness = Readiness()
    keys = open_keys(settings)
    frame = Frame(metrics, settings.max_message_bytes, keys, settings.max_json_bytes)
    store = _store(settings, frame)
    if settings.triton_metrics:
        metrics.registry.register(TritonMetrics(store, frame))
    await asyncio.to_thread(store.load_all)
    limits = Limits(settings.workers, settings.predict_queue, settings.explain_queue)
    async with AsyncExitStack() as stack:
        secret = cache_secret(secret_material(settings))
        cache = open_cache(settings, metrics, secret)
        stack.push_async_callback(cache.close)
        if not await cache.ping():
            _LOG.warning("Redis does not answer; serving without it until it does")
        workers = Workers(limits, metrics)
        stack.push_async_callback(workers.close)
        engine = Engine(
            store,
            House(cache, workers, metrics),
            secret=secret,
            budget_s=settings.explain_budget_ms / 1000 or None,
        )
        control = settings.repository_mode == "explicit"
        services = Services(engine, store, readiness, frame, control)
        doors = await stack.enter_async_context(open_doors(settings, services, tls))
        readiness.set("ready")
        try:
            yield Service(doors, engine, store, readiness)
        finally:
            readiness.set("draining")
            until = monotonic() + settings.drain_s
            drained = asyncio.create_task(workers.drain(settings.drain_s))
            await doors.rpc.stop(settings.drain_s)
            await drained
            _LOG.info("drained", extra={"left_s": round(until - monotonic(), 3)})


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        CandorError, OSError: as `serving`.
    """
    start_logging(settings.log_level)
    # Pillow warns of odd EXIF with a text of the picture's own: callers would fill our log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _keep_large_blocks()
    uvloop.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    began = perf_counter()
    async with serving(settings) as service:
        _LOG.info(
            "ready",
            extra={
                "version": __version__,
                "grpc": service.doors.rpc.address,
                "http": service.doors.http,
                "metrics": service.doors.metrics,
                "health": service.doors.health,
                "tls": bool(settings.tls_cert),
                "models": [f"{e.name}/{e.version}: {e.state}" for e in service.store.entries()],
                "started_s": round(perf_counter() - began, 3),
            },
        )
        await stop.wait()
        _LOG.info("stopping", extra={"drain_s": settings.drain_s})


def _store(settings: Settings, frame: Frame) -> Store[Model]:
    metrics, statistics = frame.metrics, frame.statistics

    def ran(model: ModelId, program: str, rows: int, seconds: float) -> None:
        metrics.program_ran(model.name, program, rows, seconds)
        statistics.ran(model, rows, seconds)

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

    policy = ModelPolicy(
        session=SessionPolicy(settings.providers, settings.intra_op_threads),
        max_image_pixels=settings.max_image_pixels,
        on_run=ran,
        batching=Batching(settings.max_batch_size, settings.max_queue_delay_ms / 1000),
    )
    store = Store(settings.model_root, load, model_name=settings.model_name, on_drop=drop)
    return store


def _log_model(event: str, model: Model, **fields: str | float) -> None:
    identity = {"model": model.id.name, "version": model.id.version, "digest": model.id.digest}
    _LOG.info(event, extra={**identity, **fields})


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _keep_large_blocks() -> None:
    """Let malloc keep the memory of large messages instead of returning it after each.

    Page faults on fresh memory were half of the server's CPU time at 600 kB a message.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        for parameter, value in _MALLOPT:
            libc.mallopt(parameter, value)
    except (OSError, AttributeError):  # another libc: only slower
        _LOG.debug("mallopt is not available")
