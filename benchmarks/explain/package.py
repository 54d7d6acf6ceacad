"""LIME beside the lime package over the same network in torch: same draws, same coefficients.

Whenever the package asks its model about ten perturbations, candor makes as many in its turn, and
both bare networks run as often: four clocks, all slowed down alike by what else the machine does.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from math import inf
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import torch
from lime.lime_image import LimeImageExplainer
from onnx import numpy_helper
from torch import nn

from benchmarks.autodiff.networks import build
from benchmarks.explain.adaptive import SETS, leading, pictured
from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, best_batch, network, repeated
from benchmarks.explain.turns import Steps, finished
from benchmarks.interleave import Contest, machine, markdown, save, spread
from candor.explain.lime import lime
from candor.explain.options import Lime
from candor.explain.question import Question
from candor.explain.segments import cut
from candor.result import Array, Attribution, Scores, Target

__all__ = ["main"]

SEED = 7

EXACT, NEAR = 1e-9, 1e-4
"""How far coefficients may differ: given equal probabilities; and relative to the largest, given
those of two runtimes in float32."""

CHECKED = 100
"""Samples of the comparison with equal probabilities."""

TOLERANCE = 0.2


class _Pair(NamedTuple):
    """A network in both runtimes, and a picture [1, 3, h, w]."""

    timed: Timed
    module: nn.Module
    x: Array


def main(asked: Asked) -> None:
    """Print the table and store its samples."""
    contests: dict[str, Contest] = {}
    rows: list[list[object]] = []
    for name in (name for name in PAIRS if asked.only in name):
        pair = PAIRS[name]()
        _check_exactly(pair)
        contest, kept = _contest(pair, asked)
        contests[name] = contest
        forwards = contest.ratio("torch", "forward")
        gained = contest.ratio("package", "lime")
        of_bar = spread([
            (package / ours) / (torchs / forward)
            for package, ours, torchs, forward in zip(
                *(contest.seconds[who] for who in ("package", "lime", "torch", "forward")),
                strict=True,
            )
        ])  # fmt: skip
        rows.append([name, contest.milliseconds("package"), contest.milliseconds("lime"), gained,
                     forwards, of_bar, contest.ratio("package", "adaptive"), kept])  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    header = ("network", "package, ms", "candor, ms", "package / candor", "torch / forward",
              "share of that", "package / candor with a tolerance",
              "of the package's leading five, kept")  # fmt: skip
    print(markdown(header, rows))
    save(asked.out, machine("onnxruntime", "torch", "lime", "numpy", "scikit-image"), contests)


def _resnet() -> _Pair:
    timed = network("ResNet-18")
    return _Pair(timed, build("ResNet-18"), timed.x)


def _squeezenet() -> _Pair:
    """With its trained weights."""
    timed, pictures = pictured(next(name for name in SETS if "SqueezeNet" in name), 1)
    held = {t.name: numpy_helper.to_array(t).copy() for t in timed.file.graph.initializer}
    module = build("SqueezeNet 1.1")
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    for number, layer in enumerate(layers):
        layer.weight.copy_(torch.from_numpy(held[f"conv{number}.weight"]))
        layer.bias.copy_(torch.from_numpy(held[f"conv{number}.bias"]))
    return _Pair(timed, module, pictures[:1])


PAIRS: Mapping[str, Callable[[], _Pair]] = {
    "ResNet-18": _resnet,
    "SqueezeNet 1.1, trained": _squeezenet,
}


# Turns


@dataclass(slots=True)
class _Explaining:
    """An explanation that goes on as far as another has come."""

    steps: Steps
    seconds: float = 0.0
    done: float = 0
    answer: Attribution | None = None

    def follow(self, n: float) -> None:
        """Go on until n samples are done, or all that are needed."""
        while self.done < n:
            began = process_time()
            try:
                self.done = next(self.steps).done
            except StopIteration as end:
                self.done, self.answer = inf, end.value
            self.seconds += process_time() - began


@dataclass(slots=True)
class _Running:
    """Bare forward passes, so many rows at a time."""

    call: Callable[[], object]
    rows: int
    seconds: float = 0.0
    done: int = 0

    def follow(self, n: float) -> None:
        """Run until n rows are done."""
        while self.done < n:
            began = process_time()
            self.call()
            self.seconds += process_time() - began
            self.done += self.rows


def _contest(pair: _Pair, asked: Asked) -> tuple[Contest, str]:
    """Time both, both bare networks, and candor with a tolerance; and see that they agree."""
    timed, module, x = pair
    target = int(timed.subject.predict(x).score[0].argmax())
    question = Question(x, Target(target))
    forwards: dict[str, Callable[[Array], Callable[[], object]]] = {
        "forward": lambda rows: bare(timed.file, rows),
        "torch": lambda rows: lambda: module(torch.from_numpy(rows)),
    }
    batches = {who: best_batch(call_with, x) for who, call_with in forwards.items()}
    finished(lime(timed.subject, question, Lime(CHECKED)))  # compiles what is needed
    seconds: dict[str, list[float]] = {}
    kept = []
    for _ in range(asked.rounds):
        running = {
            who: _Running(forwards[who](repeated(x, rows)), rows) for who, rows in batches.items()
        }
        ours = _Explaining(lime(timed.subject, question, Lime(asked.n_samples, seed=SEED)))
        options = Lime(asked.n_samples, tolerance=TOLERANCE, seed=SEED)
        adaptive = _Explaining(lime(timed.subject, question, options))
        theirs, theirs_s = _packages(
            pair, target, asked.n_samples, [*running.values(), ours, adaptive]
        )
        if ours.answer is None or adaptive.answer is None:
            raise SystemExit(f"{timed.name}: the package asked for fewer samples")
        _check(timed.name, ours.answer, theirs, NEAR * float(np.abs(theirs).max()))
        kept.append(len(leading(adaptive.answer) & set(np.argsort(-np.abs(theirs))[:5].tolist())))
        found = {"package": theirs_s, "lime": ours.seconds, "adaptive": adaptive.seconds}
        found |= {who: of.seconds * asked.n_samples / of.done for who, of in running.items()}
        for who, took in found.items():
            seconds.setdefault(who, []).append(took)
    n_taken = adaptive.answer.trust["n_evaluations"]
    return Contest(seconds), f"{np.mean(kept):.1f} by {n_taken} samples"


def _packages(
    pair: _Pair, target: int, n_samples: int, others: list[_Explaining | _Running]
) -> tuple[Array, float]:
    """The package's coefficients, and its seconds without those of the others."""
    asked_for, away = 0, 0.0

    def probabilities(pictures: Array) -> Array:
        nonlocal asked_for, away
        rows = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1)))
        found = torch.softmax(pair.module(rows), dim=1).numpy()
        began = process_time()
        asked_for += len(pictures)
        for other in others:
            other.follow(asked_for)
            if asked_for >= n_samples and isinstance(other, _Explaining):
                other.follow(inf)  # what comes after the last sample
        away += process_time() - began
        return np.asarray(found)

    began = process_time()
    coefficients = _explained(pair, target, n_samples, probabilities)
    return coefficients, process_time() - began - away


def _explained(
    pair: _Pair, target: int, n_samples: int, probabilities: Callable[[Array], Array]
) -> Array:
    """The package's answer with candor's segments, by segment."""
    segments = cut(Question(pair.x), Lime(), pair.timed.subject.geometry).positions
    with redirect_stderr(io.StringIO()):  # its progress bar
        explanation = LimeImageExplainer(random_state=SEED).explain_instance(
            np.moveaxis(pair.x[0], 0, -1),
            probabilities,
            labels=(target,),
            top_labels=None,
            num_samples=n_samples,
            segmentation_fn=lambda _: segments,
            random_seed=0,
        )
    return np.array([value for _, value in sorted(explanation.local_exp[target])])


# Agreement


class _Recorded:
    """A subject that remembers what it said of perturbations."""

    def __init__(self, timed: Timed) -> None:
        self._subject = timed.subject
        self.said: list[Array] = []

    def __getattr__(self, name: str) -> Any:
        """What is asked beside perturbations."""
        return getattr(self._subject, name)

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """As the subject."""
        found = self._subject.perturb(x, baseline, segments, masks)
        self.said.extend(found.probability)
        return found


def _check_exactly(pair: _Pair) -> None:
    """Given the same probabilities the package has the same coefficients."""
    recorded = _Recorded(pair.timed)
    ours = finished(lime(recorded, Question(pair.x, Target(0)), Lime(CHECKED, seed=SEED)))
    said = iter(recorded.said)
    theirs = _explained(pair, 0, CHECKED, lambda rows: np.array([next(said) for _ in rows]))
    _check(pair.timed.name, ours, theirs, EXACT)


def _check(name: str, ours: Attribution, theirs: Array, tolerance: float) -> None:
    figures = ours.trust["figures"]
    found = np.array(figures["coefficients"] if isinstance(figures, dict) else ())
    if (off := float(np.abs(found - theirs).max())) > tolerance:
        raise SystemExit(f"{name}: a coefficient is off by {off:.2g}, more than {tolerance:.2g}")
