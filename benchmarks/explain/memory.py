"""How far LIME's resident set rises above the loaded model, at few samples and at many.

Each in a process of its own, measured as the memory of gradients is (`autodiff.memory`).
"""

import subprocess
import sys

from benchmarks.autodiff.memory import peak_over
from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import network
from benchmarks.explain.turns import finished
from benchmarks.interleave import markdown
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.question import Question

__all__ = ["main"]

NETWORKS = ("ShuffleNetV2", "photos", "digits-lenet")

SAMPLES = (1000, 20_000)


def main(asked: Asked) -> None:
    """Print the table and store it."""
    rows = []
    for name in (name for name in NETWORKS if asked.only in name):
        network(name)  # exported here, so that no measured process exports
        rows.append([name, *(f"{_apart(name, n_samples):.0f}" for n_samples in SAMPLES)])
        print(*rows[-1], sep=" | ", flush=True)
    table = markdown(("network", *(f"{n} samples, MiB" for n in SAMPLES)), rows)
    print(table)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.with_suffix(".md").write_text(table + "\n", encoding="utf-8")


def _apart(name: str, n_samples: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.explain.memory", name, str(n_samples)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def _measure(name: str, n_samples: int) -> float:
    timed = network(name)
    timed.subject.predict(timed.x)  # compiles what perturbations run
    return peak_over(lambda: finished(lime(timed.subject, Question(timed.x), Lime(n_samples))))


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
