"""A row of the zoo's table: a network, the data that it is trained on, and how it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from zoo.export import LOGITS, Port
from zoo.manifest import Table
from zoo.recipe import CLASSIFY, Recipe, Task
from zoo.sets.samples import Array, DataSet, Samples
from zoo.trainer import Prepare, Work

Scores = Mapping[str, float]
"""What was scored -> its score; a share, or an error where the task measures one."""


def _nothing(_: Path) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Model:
    """What there is to know about a model beyond what its run measures.

    Attributes:
        title, purpose: for the card and the manifest.
        network: built from the training rows, whose scales it may hold.
        sources: lines for the card: the layers, and the papers.
        data: that it is trained and tested on.
        recipe: of a run.
        source, result: the graph's input and output.
        example: shape of an input to export with.
        section: the manifest's `[input]`.
        statistics: the training rows -> further tables of the manifest's `[input]`.
        prepare: the same in torch, stored rows to inputs.
        explain: the manifest's `[explain]`.
        limits: lines for the card.
        task: what is minimised and measured.
        names: name of a value -> what finds it in the exported graph.
        ragged: the rows are padded; the exported model is compared row by row, unpadded.
        baselines: (root of the data) -> further scores for the card.
        files: (root of the data) -> further files beside the manifest, names to texts.
        seeds: how many runs a card is made of.
        served: whether weights are published; else there is a card alone.
    """

    title: str
    purpose: str
    network: Callable[[Samples], nn.Module]
    sources: Sequence[str]
    data: DataSet
    recipe: Recipe
    source: Port
    example: Sequence[int]
    section: Table
    prepare: Prepare
    result: Port = LOGITS
    explain: Table = field(default_factory=dict)
    limits: Sequence[str] = ()
    task: Task = CLASSIFY
    names: Mapping[str, Callable[[ModelProto], str]] = field(default_factory=dict)
    ragged: bool = False
    baselines: Callable[[Path], Scores] = _nothing
    files: Callable[[Path], Mapping[str, str]] = _nothing
    statistics: Callable[[Samples], Mapping[str, Table]] | None = None
    seeds: int = 3
    served: bool = True

    def work(self, rows: Samples) -> Work:
        """Return what there is to do with rows of its data."""
        return Work(self.task, rows, self.prepare, self.ragged)


def normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (x - mean) / std of pictures [n, c, h, w], pixels in 0..1."""
    shape = (len(mean), 1, 1)
    x = (x - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    return x.contiguous(memory_format=torch.channels_last) if len(mean) > 1 else x


def scaled(mean: Sequence[float], std: Sequence[float]) -> Prepare:
    """Return a function from uint8 [n, c, h, w] to (x / 255 - mean) / std."""
    return lambda pixels: normalised(torch.from_numpy(pixels).float() / 255, mean, std)


def picture(size: int, mean: Sequence[float], std: Sequence[float]) -> Table:
    """Return the manifest's `[input]` for square pictures, gray where there is one mean."""
    return {
        "kind": "image",
        "name": "image",
        "layout": "nchw",
        "size": [size, size],
        "resize": "stretch",
        "range": [0.0, 1.0],
        "mean": list(mean),
        "std": list(std),
        "channels": "gray" if len(mean) == 1 else "rgb",
    }


def unpadded(series: Array) -> Tensor:
    """Return series or ids [n, t, ...] without the zero steps that end all of the rows."""
    steps = np.flatnonzero(np.any(series, axis=(0, *range(2, series.ndim))))
    return torch.from_numpy(np.ascontiguousarray(series[:, : int(steps[-1]) + 1]))
