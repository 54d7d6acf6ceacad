"""A classifier of a few lines of numpy, an engine over it, and ways to look at what they did."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
from prometheus_client import CollectorRegistry

from candor.engine.cache import MemoryCache
from candor.engine.digest import cache_secret
from candor.engine.engine import Engine
from candor.engine.entry import Entry
from candor.engine.house import House
from candor.engine.model import Job
from candor.engine.redis_cache import RedisCache
from candor.engine.redis_locks import RedisLocks
from candor.engine.request import ExplainRequest, PredictRequest
from candor.engine.tiers import Tiers, memory_tier
from candor.engine.workers import Limits, Workers
from candor.errors import InvalidInput, NotFound, Unsupported
from candor.explain.options import Gradient, Lime, Options
from candor.explain.subject import Geometry, GradientRun, NoisyRun, PathRun
from candor.metrics import Metrics
from candor.result import Array, Encoded, ModelId, Payload, Scores, Tensors
from candor.runtime.specs import TensorSpec

SECRET = cache_secret(b"tests")
IDENTITY = ModelId("linear", "1", "d" * 64)
TABULAR = Geometry("tabular", None)
N_FEATURES = 6
N_CLASSES = 3
PATIENCE_S = 60.0
"""For what has to happen, and does at once unless the machine is busy with other things."""


@dataclass
class Joining:
    """Satisfies `engine.model.Joining`: up to so many rows share a run, if they are independent."""

    most: int = 32
    delay_s: float = 0.0
    independent: bool = True
    tried: bool = True

    def max_rows(self, payload: Payload) -> int:
        return self.most

    @property
    def most_brief_rows(self) -> int:
        return self.most if self.tried and self.independent else 1

    def alike(self, tensors: Mapping[str, Array]) -> bool:
        self.tried = True
        return self.independent


@dataclass
class Brevity:
    """Satisfies `engine.model.Brevity`: everything is brief, or nothing."""

    brief: bool = False

    def expects(self, job: Job, payload: Payload, rows: int) -> bool:
        return self.brief

    def timed(self, job: Job, rows: int) -> AbstractContextManager[None]:
        return nullcontext()


class Doled:
    """A `hold` that lets through as many runs as it was told to, and no more."""

    def __init__(self) -> None:
        self._left = threading.Semaphore(0)

    def let(self, n: int) -> None:
        """Let that many more through."""
        self._left.release(n)

    def wait(self, timeout: float) -> bool:
        return self._left.acquire(timeout=timeout)


@dataclass
class LinearModel:
    """score = x W; satisfies `engine.model.Model` and `explain.subject.Subject` at once.

    `calls` names every run, as it begins; `hold` blocks runs until it is set, those called `holds`
    or, without that, all; `slice_s` makes slices slow.
    """

    id: ModelId = IDENTITY
    activation: str = "softmax"
    provider: str = "cpu"
    labels: tuple[str, ...] = ("cat", "dog", "cup")
    awake: bool = True
    rebuilds: bool = True
    slice_rows: int = 10
    slice_s: float = 0.0
    hold: threading.Event | Doled | None = None
    holds: str = ""
    fail: Exception | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)
    geometry: Geometry = TABULAR
    n_classes: int = N_CLASSES
    batch_size: int | None = None
    straight_through: bool = False
    joining: Joining = field(default_factory=Joining)
    brevity: Brevity = field(default_factory=Brevity)
    explained_inputs: tuple[str, ...] = ("x",)
    methods: Mapping[str, str | None] = field(
        default_factory=lambda: {
            "cam": "its head is not global average pooling",
            "grad_cam": None,
            "gradient": None,
            "integrated_gradients": None,
            "occlusion": None,
            "lime": None,
        }
    )

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        self.weights = rng.normal(size=(N_FEATURES, N_CLASSES)).astype(np.float32)

    # Model

    def encode(self, payload: Payload) -> Encoded:
        assert isinstance(payload, Tensors)
        x = payload.by_name.get("x")
        if x is None or x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != N_FEATURES:
            raise InvalidInput(f"expected float32 'x' [n, {N_FEATURES}]")
        return Encoded(payload.by_name, (None,) * len(x))

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        scores = self._scores("run", tensors["x"])
        own = {"probabilities": scores.probability}
        return own if self.rebuilds else {**own, "twice": 2 * scores.score}

    def scores_of(self, outputs: Mapping[str, Array]) -> Scores | None:
        probability = outputs["probabilities"]
        return Scores(np.log(probability), probability)

    def wake(self) -> None:
        self.calls.append(("wake", 0))
        self.awake = True

    def outputs_from(self, scores: Scores) -> dict[str, Array] | None:
        return {"probabilities": scores.probability} if self.rebuilds else None

    @property
    def outputs(self) -> list[TensorSpec]:
        own = [TensorSpec("probabilities", "FP32", (-1, N_CLASSES))]
        return own if self.rebuilds else [*own, TensorSpec("twice", "FP32", (-1, -1))]

    def subject(self, output: str | None = None) -> "LinearModel":
        if output not in {None, "probabilities"}:
            raise NotFound(f"no output '{output}'")
        return self

    def laid(
        self, tensors: Mapping[str, Array], output: str | None = None
    ) -> tuple["LinearModel", Array]:
        return self.subject(output), tensors["x"]

    # Subject

    def predict(self, x: Array) -> Scores:
        return self._scores("predict", x)

    def cam_layer(self, formula: str, layer: str | None) -> str:
        raise Unsupported("no layer has spatial extent")

    def cam(self, x, direction, formula, layer, *, normalise):
        raise Unsupported("no layer has spatial extent")

    def gradient(self, x: Array, direction: Array, explained: str) -> GradientRun:
        scores = self._scores("gradient", x)
        gradient = self._directions(scores, direction) @ self.weights.T
        return GradientRun(scores, gradient.astype(np.float32), x)

    def path(self, x, baseline, alphas, direction, explained) -> PathRun:
        points = baseline + alphas[:, None].astype(np.float32) * (x - baseline)
        scores = self._scores("path", points)
        direction = np.repeat(self._directions(self._quiet(x), direction), len(alphas), axis=0)
        return PathRun(scores, (direction @ self.weights.T).astype(np.float32), (x - baseline)[0])

    def noisy(self, x, noise, direction, explained) -> NoisyRun:
        scores = self._scores("noisy", x + noise)
        direction = np.repeat(self._directions(self._quiet(x), direction), len(noise), axis=0)
        return NoisyRun(scores, (direction @ self.weights.T).astype(np.float32))

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        kept = masks[:, np.broadcast_to(segments, x.shape[1:])]
        return self._scores("perturb", np.where(kept, x, baseline).astype(np.float32))

    def covered(self, x: Array, baseline: Array, windows: Array) -> None:
        return None

    def slices(self, n: int) -> Iterator[slice]:
        for start in range(0, n, self.slice_rows):
            yield slice(start, min(n, start + self.slice_rows))

    # What it does when it runs

    def _scores(self, name: str, x: Array) -> Scores:
        self.calls.append((name, len(x)))
        if self.hold is not None and self.holds in {"", name}:
            assert self.hold.wait(PATIENCE_S)
        if self.slice_s:
            time.sleep(self.slice_s)
        if self.fail is not None:
            raise self.fail
        return self._quiet(x)

    def _quiet(self, x: Array) -> Scores:
        score = (x @ self.weights).astype(np.float32)
        odds = np.exp(score - score.max(axis=1, keepdims=True))
        return Scores(score, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32))

    @staticmethod
    def _directions(scores: Scores, direction: Array) -> Array:
        top = np.eye(scores.score.shape[1], dtype=np.float32)[scores.score.argmax(axis=1)]
        return np.where(direction.any(axis=1, keepdims=True), direction, top)

    def n_calls(self, name: str | None = None) -> int:
        return sum(name in {None, called} for called, _ in list(self.calls))


class OneModel:
    """A store that holds one model."""

    def __init__(self, model: LinearModel) -> None:
        self.model = model

    def loads(self, name: str, version: str = "") -> bool:
        return False

    def get(self, name: str, version: str = "") -> LinearModel:
        if name != self.model.id.name or version not in {"", self.model.id.version}:
            raise NotFound(f"there is no model '{name}' with version '{version}'")
        return self.model


@dataclass
class Rig:
    """An engine with everything in reach."""

    engine: Engine
    model: LinearModel
    metrics: Metrics
    memory: MemoryCache[Entry]
    cache: Tiers
    workers: Workers

    def value(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 where it was never touched."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def rig(
    model: LinearModel | None = None,
    *,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    redis: RedisCache | None = None,
    locks: RedisLocks | None = None,
    memory_bytes: int = 1 << 24,
) -> AsyncIterator[Rig]:
    """An engine over a model; closed at the end, with nothing left in any gauge."""
    model = model or LinearModel()
    metrics = metrics or Metrics(CollectorRegistry())
    memory = memory_tier(memory_bytes, 3600)
    cache = Tiers(memory, redis, metrics, SECRET, locks)
    workers = Workers(limits or Limits(slots=2), metrics)
    house = House(cache, workers, metrics)
    built = Rig(
        Engine(OneModel(model), house, secret=SECRET), model, metrics, memory, cache, workers
    )
    try:
        yield built
        await settled(built)
    finally:
        await workers.close()
        await cache.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what comes in its own time."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.002)


async def settled(built: Rig) -> None:
    """Everything that was begun has ended: no flight, no depth, nothing in flight."""
    await until(lambda: not len(built.engine.house.flights) and not gauges(built.metrics))


async def idle(built: Rig) -> None:
    """Nothing runs any more: a slice whose request is gone may still have to end."""
    await until(lambda: built.workers._queues.idle)


def aboard(built: Rig) -> int:
    """Those who wait for what is computed: a seat for each of their answers."""
    return sum(flight.seated for flight in set(built.engine.house.flights._by_key.values()))


def gauges(metrics: Metrics) -> dict[str, float]:
    """In-flight and depth gauges that are not at zero."""
    return {
        f"{sample.name}{sample.labels}": sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if family.name in {"candor_inflight", "candor_queue_depth"} and sample.value != 0
    }


def rows(n: int = 1, seed: int = 0) -> Array:
    """Inputs for n rows."""
    return np.random.default_rng(seed).normal(size=(n, N_FEATURES)).astype(np.float32)


def predict_request(x: Array | None = None, **changes: object) -> PredictRequest:
    """Ask for a prediction of one row."""
    request = PredictRequest("linear", Tensors({"x": rows() if x is None else x}), scores=True)
    return replace(request, **changes)


def explain_request(*methods: Options, x: Array | None = None, **changes: object) -> ExplainRequest:
    """Ask for the gradient of one row, unless told otherwise."""
    payload = Tensors({"x": rows() if x is None else x})
    return replace(ExplainRequest("linear", payload, methods or (Gradient(),)), **changes)


def long_lime(**changes: object) -> Lime:
    """A LIME of two hundred samples."""
    return replace(Lime(n_samples=200), **changes)
