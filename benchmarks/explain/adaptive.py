"""How many samples LIME takes with a tolerance, and how far its leading segments can be trusted.

The reference for a picture is a run of 4,000 samples with draws of its own: of the five leading
segments of both, how many are the same?
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, network, open_subject
from benchmarks.explain.turns import finished
from benchmarks.interleave import machine, markdown
from benchmarks.quality import squeezenet
from candor.explain.lime import lime
from candor.explain.lime_answer import TOP_K
from candor.explain.options import Lime
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Attribution
from zoo.data import required
from zoo.families.photos import MEAN, STD
from zoo.model import normalised
from zoo.sets.photos64 import PHOTOS64

__all__ = ["SETS", "Pictured", "leading", "main", "pictured"]

WAYS: Mapping[str, Lime] = {
    "0.3": Lime(tolerance=0.3, seed=1),
    "0.2": Lime(tolerance=0.2, seed=1),
    "0.1": Lime(tolerance=0.1, seed=1),
    "none, 300 samples": Lime(300, seed=1),
    "none": Lime(seed=1),
}
"""Tolerances, and how many samples are taken at most: a thousand unless it says otherwise."""

REFERENCE = Lime(4000, seed=99)

_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Pictured(NamedTuple):
    """A trained model, and pictures as it takes them, [n, 3, h, w]."""

    model: Timed
    pictures: Array


class _Kept(NamedTuple):
    """Of one picture at one tolerance: samples taken, and leading segments of the reference."""

    n_samples: int
    n_kept: int


def main(asked: Asked) -> None:
    """Print the tables, a line a tolerance, and store what was found of each picture."""
    found: dict[str, dict[str, list[_Kept]]] = {}
    for name in (name for name in SETS if asked.only in name):
        model, pictures = pictured(name, asked.n_pictures)
        kept = found[name] = _measure(model.subject, pictures)
        print(f"{name}, {len(pictures)} pictures", markdown(_HEADER, list(map(_row, kept.items()))),
              sep="\n\n", end="\n\n", flush=True)  # fmt: skip
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine("onnxruntime", "numpy", "scikit-image"), "kept": found}
    asked.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")


_HEADER = ("tolerance", "samples, mean", "samples, most", "of the five leading segments, kept")


def _row(kept: tuple[str, list[_Kept]]) -> list[str]:
    tolerance, each = kept
    counts = [one.n_samples for one in each]
    mean = float(np.mean([one.n_kept for one in each]))
    return [tolerance, f"{np.mean(counts):.0f}", str(max(counts)), f"{mean:.2f}"]


def pictured(name: str, n_pictures: int) -> Pictured:
    """One of the sets, drawn at random.

    Raises:
        SystemExit: CANDOR_DATA does not name the folder of the data sets.
        MissingDataError: it does not hold this one.
    """
    root = os.environ.get("CANDOR_DATA")
    if not root:
        raise SystemExit("CANDOR_DATA must name the folder of the data sets")
    return SETS[name](Path(root), n_pictures)


def _photos64(root: Path, n_pictures: int) -> Pictured:
    pixels = PHOTOS64.load(root, PHOTOS64.measured).inputs
    chosen = np.random.default_rng(0).choice(len(pixels), n_pictures, replace=False)
    found = normalised(torch.from_numpy(pixels[chosen]).float() / 255, MEAN, STD)
    return Pictured(network("photos"), found.contiguous().numpy())


def _squeezenet(root: Path, n_pictures: int) -> Pictured:
    proto = squeezenet.build(root)
    squeezenet.verify(proto, root)
    files = sorted(required(root, "photos/SOURCE.txt").parent.glob("*.[jp][pn]*g"))
    chosen = np.random.default_rng(0).permutation(len(files))[:n_pictures]
    rows = np.stack([_cropped(files[at]) for at in sorted(chosen)])
    return Pictured(open_subject("SqueezeNet 1.1", proto), rows)


def _cropped(file: Path) -> Array:
    """The square in the middle, at the network's size, normalised as ImageNet's pictures."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    side = min(width, height)
    box = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
    pixels = np.asarray(picture.resize((squeezenet.SIDE,) * 2, Image.Resampling.BICUBIC, box))
    shown = (pixels.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(shown.transpose(2, 0, 1), dtype=np.float32)


SETS: Mapping[str, Callable[[Path, int], Pictured]] = {
    "photos64": _photos64,
    "photographs at 224, SqueezeNet 1.1": _squeezenet,
}


def _measure(subject: Subject, pictures: Array) -> dict[str, list[_Kept]]:
    """Explain each picture in each way, and compare with its reference."""
    kept: dict[str, list[_Kept]] = {name: [] for name in WAYS}
    for picture in pictures:
        question = Question(picture[None])
        wanted = leading(finished(lime(subject, question, REFERENCE)))
        for name, options in WAYS.items():
            answer = finished(lime(subject, question, options))
            taken = int(str(answer.trust["n_evaluations"]))
            kept[name].append(_Kept(taken, len(leading(answer) & wanted)))
    return kept


def leading(answer: Attribution) -> set[int]:
    """Which segments have the largest coefficients."""
    figures = answer.trust["figures"]
    coefficients = figures["coefficients"] if isinstance(figures, dict) else ()
    return set(np.argsort(-np.abs(np.array(coefficients)))[:TOP_K].tolist())
