"""Every method with its default options, in forward passes of the model."""

from collections.abc import Callable
from functools import partial
from time import process_time

from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, network
from benchmarks.explain.turns import finished
from benchmarks.interleave import Contest, Pace, interleave, machine, markdown, save
from candor.errors import Unsupported
from candor.explain.explainers import in_slices
from candor.explain.options import METHODS, Options
from candor.explain.question import Question
from candor.result import Json

__all__ = ["main"]

NETWORKS = ("photos", "digits-lenet")


def main(asked: Asked) -> None:
    """Print the table and store its samples: how many rows a method runs, and what it takes."""
    contests: dict[str, Contest] = {}
    cells: dict[str, list[object]] = {method: [f"`{method}`"] for method in METHODS}
    names = [name for name in NETWORKS if asked.only in name]
    for name in names:
        timed = network(name)
        forward = bare(timed.file, timed.x)
        for method, kind in METHODS.items():
            runs: list[Json] = []
            explain = partial(_explain, timed, kind(), runs)
            try:
                explain()
            except Unsupported:
                cells[method] += ["", ""]
                continue
            calls: dict[str, Callable[[], object]] = {"forward": forward, "explained": explain}
            contest = interleave(calls, Pace(6.0, (3, 51)), process_time)
            contests[f"{name}, {method}"] = contest
            cells[method] += [runs[-1], contest.ratio("explained", "forward")]
            print(name, *cells[method], sep=" | ", flush=True)
    header = [part for name in names for part in (f"{name}: rows", "in forward passes")]
    print(markdown(("method", *header), list(cells.values())))
    save(asked.out, machine("onnxruntime", "numpy"), contests)


def _explain(timed: Timed, options: Options, runs: list[Json]) -> None:
    answer = finished(in_slices(timed.subject, Question(timed.x), options))
    runs.append(answer.trust["n_evaluations"])
