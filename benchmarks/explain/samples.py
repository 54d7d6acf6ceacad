"""LIME's samples beside as many bare forward passes."""

from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, best_batch, network, repeated
from benchmarks.explain.turns import Turns, finished, in_turns
from benchmarks.interleave import Contest, Spread, machine, markdown, save, spread
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.question import Question

__all__ = ["main"]

NETWORKS = ("ResNet-18", "SqueezeNet 1.1", "ShuffleNetV2", "photos", "digits-lenet", "digits-mlp")


def main(asked: Asked) -> None:
    """Print the table and store its samples."""
    contests: dict[str, Contest] = {}
    rows: list[list[object]] = []
    for name in (name for name in NETWORKS if asked.only in name):
        timed = network(name)
        batch = best_batch(lambda x, timed=timed: bare(timed.file, x), timed.x)  # type: ignore[misc]
        finished(lime(timed.subject, Question(timed.x), Lime(100)))  # compiles, learns the pace
        found = [_turns(timed, batch, asked.n_samples) for _ in range(asked.rounds)]
        turns = [turn for turn, _ in found]
        contest = Contest(
            {"lime": [t.spent_s for t in turns], "forwards": [t.bare_s for t in turns]}
        )
        contests[name] = contest
        more = spread([1e3 * (t.spent_s - t.bare_s) / asked.n_samples for t in turns])
        rows.append([_shown(timed), batch, Spread(*_per_sample(contest, asked.n_samples)),
                     contest.ratio("lime", "forwards"), more,
                     spread([1e3 * beside for _, beside in found])])  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    header = ("network", "rows a forward", "forward, ms",
              f"LIME of {asked.n_samples} / as many forwards", "more, ms a sample",
              "outside of runs, ms in all")  # fmt: skip
    print(markdown(header, rows))
    save(asked.out, machine("onnxruntime", "numpy", "scikit-image"), contests)


def _turns(timed: Timed, batch: int, n_samples: int) -> tuple[Turns, float]:
    """One explanation, and its seconds outside of the model's runs."""
    timed.runs_s.clear()
    steps = lime(timed.subject, Question(timed.x), Lime(n_samples))
    turns = in_turns(steps, bare(timed.file, repeated(timed.x, batch)), batch)
    return turns, turns.spent_s - sum(timed.runs_s)


def _shown(timed: Timed) -> str:
    return f"{timed.name}, {timed.x.shape[2]} x {timed.x.shape[3]}"


def _per_sample(contest: Contest, n_samples: int) -> tuple[float, float, float]:
    of_all = contest.milliseconds("forwards")
    return of_all.median / n_samples, of_all.low / n_samples, of_all.high / n_samples
