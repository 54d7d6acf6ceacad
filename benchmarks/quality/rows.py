"""Rows of the committed models' own test splits, as the models take them."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from candor.cli.local import open_model
from candor.explain.explainers import in_slices
from candor.explain.options import (
    METHODS,
    IntegratedGradients,
    Lime,
    Occlusion,
    Options,
    SmoothGrad,
)
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Attribution, Images, Tensors, Texts
from candor.runtime.model import Model
from zoo.page.rows import Split, load_split

__all__ = ["REPOSITORY", "Rows", "asked_of", "explained", "rows_of"]

REPOSITORY = Path("models/repository")

N_SAMPLES = 300
"""Of LIME: enough for its leading segments (docs/performance.md), and a third of the default."""


class Rows(NamedTuple):
    """A model, its file's digest, and rows of its test split, each [1, ...]."""

    digest: str
    model: Model
    rows: list[Array]


def rows_of(name: str, root: Path, count: int, seed: int) -> Rows:
    """Draw rows of a model's test split.

    Raises:
        MissingDataError: a data set is not under `root`.
    """
    file, model = open_model(REPOSITORY / name / "1")
    split = load_split(name, root)
    chosen = np.random.default_rng(seed).permutation(len(split.rows))[:count]
    return Rows(file.digest, model, [_encoded(model, split, int(at)) for at in chosen])


def _encoded(model: Model, split: Split, at: int) -> Array:
    row = split.rows[at]
    if isinstance(row, str):
        payload: Images | Texts | Tensors = Texts((row,))
    elif split.kind == "images":
        file = io.BytesIO()
        Image.fromarray(row).save(file, "PNG")
        payload = Images((file.getvalue(),))
    else:
        payload = Tensors({split.input: row[None]})
    return model.check(model.encode(payload).tensors)[model.input_name]


def asked_of(model: Model) -> list[Options]:
    """The methods that explain a model, with their default options but for LIME's samples."""
    return [
        Lime(N_SAMPLES) if kind is Lime else kind()
        for method, kind in METHODS.items()
        if model.methods[method] is None
    ]


def explained(subject: Subject, question: Question, options: Options) -> Attribution:
    """Explain, to the end."""
    steps = in_slices(subject, question, options)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        attribution: Attribution = end.value
        return attribution


GENTLE: dict[str, Options] = {
    "smooth_grad": SmoothGrad(25),
    "integrated_gradients": IntegratedGradients(25),
    "occlusion": Occlusion(),
    "lime": Lime(N_SAMPLES),
}
