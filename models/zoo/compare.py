"""The exported model against torch, on every row of the test split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from zoo.model import Model
from zoo.sets.samples import Samples
from zoo.trainer import predict


@dataclass(frozen=True, slots=True)
class Measured:
    """What the exported model reaches.

    Attributes:
        score: on the test split, as the task counts it.
        difference: the largest between its outputs and torch's.
    """

    score: float
    difference: float


def compare(model: Model, net: nn.Module, exported: ModelProto, test: Samples) -> Measured:
    """Run both on the test split.

    Padded rows are run one by one without their padding, so that a padding which changes answers
    is found here.

    Raises:
        ValueError: the two have different scores.
    """
    ours = run(exported, model, test)
    theirs = predict(net, test.inputs, model.prepare)
    score, other = (score_of(model, outputs, test) for outputs in (ours, theirs))
    # Accuracies of fewer than 100,000 rows must be equal; an error may differ by its rounding.
    if abs(score - other) > 1e-5 * abs(other):
        raise ValueError(f"the exported model scores {score:.6f}, the network {other:.6f}")
    return Measured(score, float((ours - theirs).abs().max()))


def run(exported: ModelProto, model: Model, rows: Samples) -> Tensor:
    """Return the exported model's outputs for stored rows."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        exported.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    size = 1 if model.ragged else 100
    outputs = [
        session.run(None, {model.source.name: model.prepare(rows.inputs[i : i + size]).numpy()})[0]
        for i in range(0, len(rows), size)
    ]
    return torch.from_numpy(np.concatenate(outputs))


def score_of(model: Model, outputs: Tensor, rows: Samples) -> float:
    """Return the task's score of outputs for all rows."""
    size = 1000
    parts = [
        model.task.score(
            outputs[i : i + size],
            model.prepare(rows.inputs[i : i + size]),
            torch.from_numpy(rows.classes[i : i + size]),
        )
        * len(rows.classes[i : i + size])
        for i in range(0, len(rows), size)
    ]
    return sum(parts) / len(rows)
