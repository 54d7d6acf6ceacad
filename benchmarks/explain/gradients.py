"""Explanations by gradients beside as many bare gradients, and maps beside bare predictions."""

from collections.abc import Callable, Mapping
from time import process_time

import numpy as np

from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, best_batch, network, repeated
from benchmarks.explain.turns import finished, in_turns
from benchmarks.interleave import Contest, Pace, interleave, machine, markdown, save
from candor.explain.cam_options import CAMS
from candor.explain.explainers import in_slices
from candor.explain.options import IntegratedGradients, Options, SmoothGrad
from candor.explain.question import Question
from candor.result import Array

__all__ = ["main"]

NETWORKS = ("ResNet-18", "SqueezeNet 1.1", "photos", "digits-lenet")

N_STEPS = 50

METHODS: Mapping[str, Options] = {
    "integrated_gradients": IntegratedGradients(N_STEPS),
    "smooth_grad": SmoothGrad(N_STEPS),
}


def main(asked: Asked) -> None:
    """Print both tables and store their samples."""
    contests: dict[str, Contest] = {}
    rows: list[list[object]] = []
    maps: list[list[object]] = []
    for name in (name for name in NETWORKS if asked.only in name):
        timed = network(name)
        maps.append([name, *_beside_prediction(timed, contests)])
        batch = best_batch(lambda x, timed=timed: _gradients(timed, x), timed.x)  # type: ignore[misc]
        cells: list[object] = [name, batch]
        for method, options in METHODS.items():
            contest = _contest(timed, options, batch, asked.rounds)
            contests[f"{name}, {method}"] = contest
            cells.append(contest.ratio("explained", "gradients"))
        cells.insert(2, contest.milliseconds("gradients"))
        rows.append(cells)
        print(*rows[-1], *maps[-1][1:], sep=" | ", flush=True)
    header = ("network", "rows a run", f"{N_STEPS} gradients, ms",
              *(f"{method} / {N_STEPS} gradients" for method in METHODS))  # fmt: skip
    print(markdown(header, rows), end="\n\n")
    print(markdown(("network", "prediction, ms", "with its `grad_cam` / alone"), maps))
    save(asked.out, machine("onnxruntime", "numpy"), contests)


def _contest(timed: Timed, options: Options, batch: int, rounds: int) -> Contest:
    question = Question(timed.x)
    contender = _gradients(timed, repeated(timed.x, batch))
    turns = [
        in_turns(in_slices(timed.subject, question, options), contender, batch)
        for _ in range(rounds + 1)
    ][1:]  # one to warm up
    return Contest({
        "explained": [turn.spent_s for turn in turns],
        # the ends of the line, or the row itself, are extra work: only the steps count as gradients
        "gradients": [turn.bare_s * N_STEPS / turn.n_evaluations for turn in turns],
    })  # fmt: skip


def _gradients(timed: Timed, x: Array) -> Callable[[], object]:
    top = np.zeros((len(x), timed.subject.n_classes), np.float32)
    return lambda: timed.subject.gradient(x, top, "score")


def _beside_prediction(timed: Timed, contests: dict[str, Contest]) -> list[object]:
    options = CAMS["grad_cam"]()
    calls: dict[str, Callable[[], object]] = {
        "prediction": bare(timed.file, timed.x),
        "both": lambda: finished(in_slices(timed.subject, Question(timed.x), options)),
    }
    contest = contests[f"{timed.name}, grad_cam"] = interleave(
        calls, Pace(seconds=8.0), process_time
    )
    return [contest.milliseconds("prediction"), contest.ratio("both", "prediction")]
