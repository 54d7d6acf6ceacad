"""The composition root: every part built once, started in order, stopped in reverse.

Start: models, cache, workers, engine, then the ports; ready when all of them are. Stop: say so,
refuse new work, let what is in flight finish within `drain_s`.
"""

import asyncio
import gc
import logging
import signal
import warnings
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Final

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
    open_frame,
    open_jobs,
    open_keys,
    open_replays,
    open_tls,
    secret_material,
)
from candor.runtime.heap import keep_large_blocks
from candor.runtime.model import Model
from candor.runtime.store import Store
from candor.settings import Settings
from candor.stocking import following, open_store
from candor.tracing import closing, open_tracing
from candor.wire.call import Frame
from candor.wire.health import Readiness
from candor.wire.services import Services
from candor.wire.triton_metrics import TritonMetrics

__all__ = ["Service", "serve", "serving", "working"]

_LOG = logging.getLogger("candor.app")

_LAST_CALL: Final = 0.8
"""Of the time to drain; then long explanations are answered with what there is, and written."""


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
    tracing = open_tracing() if settings.traces else None
    frame = open_frame(settings, metrics, keys, tracing)
    async with (
        closing(tracing),
        working(settings, frame) as (engine, store),
        open_jobs(settings, metrics) as jobs,
    ):
        if settings.triton_metrics:
            metrics.registry.register(TritonMetrics(store, frame))
        control = settings.repository_mode == "explicit"
        replays = open_replays(settings, metrics, engine.house.cache)
        services = Services(engine, jobs, store, readiness, frame, control, replays)
        async with open_doors(settings, services, tls) as doors:
            readiness.set("ready")
            jobs.inherit(services.desk.revived)
            try:
                yield Service(doors, engine, store, readiness)
            finally:
                readiness.set("draining")
                until = monotonic() + settings.drain_s
                engine.house.closing.at_s = monotonic() + _LAST_CALL * settings.drain_s
                drained = asyncio.gather(
                    engine.house.workers.drain(settings.drain_s), jobs.drain(settings.drain_s)
                )
                await doors.rpc.stop(settings.drain_s)
                await drained
                _LOG.info("drained", extra={"left_s": round(until - monotonic(), 3)})


@asynccontextmanager
async def working(
    settings: Settings, frame: Frame, only: str = ""
) -> AsyncGenerator[tuple[Engine, Store[Model]], None]:
    """The engine with its models, and no port, while the block runs.

    Args:
        settings: as of a service.
        frame: told of every run.
        only: the model to load; "" loads all.

    Raises:
        NotFound, InvalidModel: of `only`; of the others a broken one is only logged.
        InvalidOption: a setting that cannot be followed.
    """
    store = open_store(settings, frame)
    limits = Limits(settings.workers, settings.predict_queue, settings.explain_queue)
    async with AsyncExitStack() as stack:
        if only:
            await asyncio.to_thread(store.load, only)
        else:
            await stack.enter_async_context(following(settings, store))
        secret = cache_secret(secret_material(settings))
        cache = open_cache(settings, frame.metrics, secret)
        stack.push_async_callback(cache.close)
        if not await cache.ping():
            _LOG.warning("Redis does not answer; serving without it until it does")
        workers = Workers(limits, frame.metrics)
        stack.push_async_callback(workers.close)
        house = House(cache, workers, frame.metrics)
        budget_s = settings.explain_budget_ms / 1000 or None
        yield Engine(store, house, secret=secret, budget_s=budget_s), store


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        CandorError, OSError: as `serving`.
    """
    start_logging(settings.log_level)
    # Pillow warns of odd EXIF with a text of the picture's own: callers would fill our log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    keep_large_blocks()
    uvloop.run(_serve(settings))
    # The process ends: to look at each object once more would take 0.3 s of a core, which one that
    # is starved by its neighbours may not get before it is killed.
    gc.freeze()
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


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
