"""The exported model against torch, on every row of the test split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from zoo.trainer import Work, predict, score


@dataclass(frozen=True, slots=True)
class Compared:
    """What the exported model answers.

    Attributes:
        outputs: for the rows, in their order.
        score: as the task counts it.
        difference: the largest between its outputs and torch's.
    """

    outputs: Tensor
    score: float
    difference: float


def compare(net: nn.Module, exported: ModelProto, work: Work) -> Compared:
    """Run both on all rows.

    Padded rows are run one by one without their padding, so that a padding which changes answers
    is found here.

    Raises:
        ValueError: the two have different scores.
    """
    ours, theirs = run(exported, work), predict(net, work)
    reached, other = score(ours, work), score(theirs, work)
    # Accuracies of fewer than 100,000 rows must be equal; an error may differ by its rounding.
    if abs(reached - other) > 1e-5 * abs(other):
        raise ValueError(f"the exported model scores {reached:.6f}, the network {other:.6f}")
    return Compared(ours, reached, float((ours - theirs).abs().max()))


def run(exported: ModelProto, work: Work) -> Tensor:
    """Return the exported model's outputs for the rows."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        exported.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    source, inputs = session.get_inputs()[0].name, work.rows.inputs
    size = 1 if work.ragged else 100
    outputs = [
        session.run(None, {source: work.prepare(inputs[i : i + size]).numpy()})[0]
        for i in range(0, len(inputs), size)
    ]
    return torch.from_numpy(np.concatenate(outputs))
