"""What the file of a committed model tells of it beyond what the service says."""

from __future__ import annotations

from pathlib import Path

import onnx

from zoo.table import TABLE

REPOSITORY = Path(__file__).resolve().parents[2] / "repository"
_RECURRENT = {"RNN", "LSTM", "GRU"}


def is_recurrent(name: str) -> bool:
    """Whether the graph reads its rows step by step."""
    graph = onnx.load(REPOSITORY / name / "1" / "model.onnx", load_external_data=False).graph
    return any(node.op_type in _RECURRENT for node in graph.node)


def takes_zeros_for_padding(name: str) -> bool:
    """Whether steps of a series that are zeros are left out of the mean over time."""
    model = TABLE.get(name)
    return model is not None and model.ragged and model.section["kind"] == "series"
