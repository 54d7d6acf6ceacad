"""What a running service reaches, takes and answers on the rows that a model is tested on."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np

from candor.client import Client, ModelInfo
from zoo.page.maps import Maps, measure_maps
from zoo.page.rows import Split
from zoo.progress import say
from zoo.sets.samples import Array
from zoo.table import TABLE

_CALLS = 101


class Measured(Maps, total=False):
    """What one model's measurement gave; `digest` says of which file.

    `score` is the accuracy, or of an autoencoder the mean square error of a pixel, on `rows` rows
    of the split that `origin` names; `wrong` are the indices of the first that it gets wrong.
    """

    digest: str
    origin: str
    score: float
    rows: int
    predict_ms: float
    wrong: list[int]


def measure(client: Client, model: ModelInfo, split: Split, root: Path) -> Measured:
    """Measure one model through the service."""
    name = model.id.name
    reached, wrong = score(client, model, split, root)
    found: Measured = {
        "digest": model.id.digest,
        "origin": split.origin,
        "rows": len(split.rows),
        "score": reached,
        "wrong": wrong[:3],
        "predict_ms": round(_latency_ms(client, name, split), 3),
        **measure_maps(client, model, split),
    }
    say(f"{name}: {found}")
    return found


def score(client: Client, model: ModelInfo, split: Split, root: Path) -> tuple[float, list[int]]:
    """Accuracy, and the rows that are wrong; of an autoencoder its error."""
    if not model.labels:
        return _error(client, model, split, root), []
    said = _classes(client, model.id.name, split)
    return float((said == split.classes).mean()), np.flatnonzero(said != split.classes).tolist()


def _classes(client: Client, name: str, split: Split) -> Array:
    said = np.empty(len(split.rows), np.int64)
    for at in split.batches():
        probabilities = client.predict(name, **split.ask(at)).probabilities
        said[at] = np.asarray(probabilities).argmax(axis=1)
    return said


def _error(client: Client, model: ModelInfo, split: Split, root: Path) -> float:
    """The mean square error of an autoencoder's pixels."""
    name, output = model.id.name, model.outputs[0][0]
    wanted = TABLE[name].prepare(TABLE[name].data.load(root, "test").inputs).numpy()
    total = 0.0
    for at in split.batches():
        rows = split.ask(at)
        rows["outputs"] = [output]
        made = client.predict(name, **rows).outputs[output]
        total += len(at) * float(np.square(made - wanted[at], dtype=np.float64).mean())
    return total / len(wanted)


def _latency_ms(client: Client, name: str, split: Split) -> float:
    """The median of calls with one row each, seen from the client."""
    times = []
    for i in range(_CALLS):
        rows = split.ask([i % len(split.rows)])
        began = time.perf_counter()
        client.predict(name, **rows)
        times.append(time.perf_counter() - began)
    return 1000 * median(times)
