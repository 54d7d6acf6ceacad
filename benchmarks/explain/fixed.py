"""What a LIME costs beside its samples: cutting the picture, drawing, fitting; and what is kept."""

from collections.abc import Callable
from itertools import count
from time import process_time

import numpy as np

from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, network, repeated
from benchmarks.explain.turns import finished
from benchmarks.interleave import Contest, Pace, Spread, interleave, machine, markdown, save, spread
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.question import Question
from candor.result import Array

__all__ = ["main"]

NETWORKS = ("SqueezeNet 1.1", "photos", "digits-lenet")

FEW = 10
"""Samples: the rest of the time is the fixed cost."""


_NUMBERS = count(1)
"""Of pictures: one that was explained before is not cut again."""


def main(asked: Asked) -> None:
    """Print both tables and store their samples."""
    contests: dict[str, Contest] = {}
    rows: list[list[object]] = []
    for name in (name for name in NETWORKS if asked.only in name):
        timed = network(name)
        few = contests[f"{name}, {FEW}"] = _contest(timed, FEW, asked.rounds)
        outside = contests[f"{name}, outside"] = _outside(timed, asked.n_samples, asked.rounds)
        rows.append([
            f"{name}, {timed.x.shape[2]} x {timed.x.shape[3]}",
            few.milliseconds("forwards"), _more(few, "again"), _more(few, "another"),
            outside.milliseconds("again"), outside.milliseconds("another"),
        ])  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    header = ("network", f"{FEW} forwards, ms", f"LIME of {FEW}, the same picture: + ms",
              "another picture: + ms", f"of {asked.n_samples}, outside of runs: the same, ms",
              "another picture, ms")  # fmt: skip
    print(markdown(header, rows))
    save(asked.out, machine("onnxruntime", "numpy", "scikit-image"), contests)


def _contest(timed: Timed, n_samples: int, rounds: int) -> Contest:
    fresh = _others(timed.x)

    def explain(x: Array) -> object:
        return finished(lime(timed.subject, Question(x), Lime(n_samples)))

    calls: dict[str, Callable[[], object]] = {
        "forwards": bare(timed.file, repeated(timed.x, n_samples)),
        "again": lambda: explain(timed.x),
        "another": lambda: explain(fresh()),
    }
    return interleave(calls, Pace(seconds=10.0, rounds=(rounds, 51), turn=0.0), process_time)


def _outside(timed: Timed, n_samples: int, rounds: int) -> Contest:
    """Seconds outside of the model's runs, by turns of the same picture and of others."""
    fresh = _others(timed.x)
    seconds: dict[str, list[float]] = {"again": [], "another": []}
    for _ in range(max(3, rounds)):
        for name, x in (("again", timed.x), ("another", fresh())):
            timed.runs_s.clear()
            began = process_time()
            finished(lime(timed.subject, Question(x), Lime(n_samples)))
            seconds[name].append(process_time() - began - sum(timed.runs_s))
    return Contest(seconds)


def _others(x: Array) -> Callable[[], Array]:
    """Pictures that were never seen, and look like the first."""

    def fresh() -> Array:
        noise = np.random.default_rng(next(_NUMBERS)).standard_normal(x.shape, dtype=np.float32)
        return x + 1e-3 * noise

    return fresh


def _more(contest: Contest, name: str) -> Spread:
    pairs = zip(contest.seconds[name], contest.seconds["forwards"], strict=True)
    return spread([1e3 * (a - b) for a, b in pairs])
