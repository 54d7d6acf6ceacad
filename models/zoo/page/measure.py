"""What a running service reaches, takes and answers on the official test split of a model."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any, TypedDict

import numpy as np

from candor.client import Client, Explanation, ModelInfo
from zoo.page.rows import Split, load_split
from zoo.progress import say
from zoo.sets.samples import Array
from zoo.table import TABLE

_CALLS = 101
_ROWS, _STEPS = 100, 9
"""Maps are measured on so many rows: the first of the test split with so many steps."""


class Measured(TypedDict, total=False):
    """What one model's measurement gave; `digest` says of which file.

    `wrong` are the indices of the first rows that it gets wrong. `thirds` has for each method the
    share of its map's magnitude in the first, the middle and the last third of a row, a mean over
    rows; `agreement` the mean rank correlation of a method's magnitudes with those of occlusion by
    single steps. `on_black` has, of gray pictures of something bright on black, the share of each
    map's magnitude that lies on black pixels, and as `area` the share of pixels that are black.
    """

    digest: str
    score: float
    rows: int
    predict_ms: float
    wrong: list[int]
    thirds: dict[str, list[float]]
    agreement: dict[str, float]
    on_black: dict[str, float]


def measure(client: Client, name: str, root: Path) -> Measured:
    """Measure one model through the service."""
    model, split = client.model(name), load_split(name, root)
    reached, wrong = score(client, name, root)
    found: Measured = {
        "digest": model.id.digest,
        "rows": len(split.rows),
        "score": round(reached, 6),
        "wrong": wrong[:3],
        "predict_ms": round(_latency_ms(client, name, split), 3),
    }
    if model.kind in ("series", "tokens") and model.labels:
        found["thirds"], found["agreement"] = _maps(client, model, split)
    if split.kind == "images" and model.labels and np.ndim(split.rows[0]) == 2:
        found["on_black"] = _on_black(client, model, split)
    say(f"{name}: {found}")
    return found


def score(client: Client, name: str, root: Path) -> tuple[float, list[int]]:
    """Accuracy on the test split, and the rows that are wrong; of an autoencoder its error."""
    model, split = client.model(name), load_split(name, root)
    if not model.labels:
        return _error(client, model, split, root), []
    said = _classes(client, name, split)
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


def _maps(
    client: Client, model: ModelInfo, split: Split
) -> tuple[dict[str, list[float]], dict[str, float]]:
    methods = [m for m in ("cam", "gradient", "integrated_gradients") if not model.methods[m]]
    shares: dict[str, list[Array]] = {method: [] for method in (*methods, "occlusion")}
    ranks: dict[str, list[float]] = {method: [] for method in methods}
    for i, row in enumerate(split.rows):
        if len(shares["occlusion"]) == _ROWS:
            break
        step = 1 if split.kind == "texts" else max(1, len(row) // 50)
        asked: list[dict[str, dict[str, Any]]] = [
            *({method: {"normalise": False} if method == "cam" else {}} for method in methods),
            {"occlusion": {"window": step, "stride": step}},
        ]
        found = client.explain(model.id.name, asked, **split.ask([i]))
        if len(found.of("occlusion").values) >= _STEPS:
            _add(found, shares, ranks)
    thirds = {m: np.stack(rows).mean(axis=0, dtype=np.float64) for m, rows in shares.items()}
    means = {m: round(float(np.nanmean(rows)), 3) for m, rows in ranks.items()}
    return {m: [round(float(share), 3) for share in of] for m, of in thirds.items()}, means


def _on_black(client: Client, model: ModelInfo, split: Split) -> dict[str, float]:
    methods = [m for m in ("grad_cam", "gradient", "occlusion") if not model.methods[m]]
    shares: dict[str, list[float]] = {"area": [], **{method: [] for method in methods}}
    for i in range(_ROWS):
        black = np.asarray(split.rows[i]) == 0
        shares["area"].append(float(black.mean()))
        found = client.explain(model.id.name, methods, **split.ask([i]))
        for method in methods:
            values = np.abs(found.of(method).values)
            if values.any():  # an empty map has its weight nowhere
                shares[method].append(float(values[black].sum() / values.sum()))
    return {name: round(float(np.mean(of)), 3) for name, of in shares.items()}


def _add(found: Explanation, shares: dict[str, list[Array]], ranks: dict[str, list[float]]) -> None:
    covered = np.abs(found.of("occlusion").values)
    for method, rows in shares.items():
        values = np.abs(found.of(method).values)
        parts = [part.sum() for part in np.array_split(values, 3)]
        rows.append(np.array(parts) / (sum(parts) or 1.0))
        if method in ranks:
            ranks[method].append(_rank_correlation(values, covered))


def _rank_correlation(one: Array, other: Array) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
