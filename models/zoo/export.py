"""torch to one clean ONNX file: dynamic axes that stay dynamic, readable names, no dead nodes.

The TorchScript exporter is used on purpose: its names follow the modules and its LSTM needs no
shape arithmetic; the newer one (torch 2.13) freezes the time axis when a process exports two
recurrent networks. A recurrent network should still be exported in a process of its own.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from zoo.tidy import tidy

OPSET = 18
MOST_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Port:
    """A graph input or output: its name, those of its dynamic axes by position, its type."""

    name: str
    axes: dict[int, str]
    dtype: torch.dtype = torch.float32


IMAGE = Port("image", {0: "n"})
LOGITS = Port("logits", {0: "n"})


def to_onnx(model: nn.Module, example: Tensor, source: Port, result: Port) -> ModelProto:
    """Export and tidy a model with one input and one output.

    Raises:
        ValueError: an axis that should be dynamic came out as a number.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # Deprecated in favour of the exporter that the module docstring argues against.
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            model.eval(),
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[source.name],
            output_names=[result.name],
            dynamic_axes={source.name: source.axes, result.name: result.axes},
        )
        exported = tidy(onnx.load(file))
    check_axes(exported, (source, result))
    onnx.checker.check_model(exported, full_check=True)
    return exported


def example_like(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return an input to trace with: no two values alike, so that nothing folds to a constant."""
    if not dtype.is_floating_point:
        return torch.arange(math.prod(shape), dtype=dtype).view(*shape)
    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0))


def check_axes(model: ModelProto, ports: Sequence[Port]) -> None:
    """Raise ValueError unless every axis named in `ports` is symbolic in the file."""
    for value in [*model.graph.input, *model.graph.output]:
        port = next(p for p in ports if p.name == value.name)
        dims = value.type.tensor_type.shape.dim
        for axis, name in port.axes.items():
            if dims[axis].dim_param != name:
                raise ValueError(f"axis {axis} of '{value.name}' is {dims[axis]}, expected {name}")


def save(model: ModelProto, path: Path) -> None:
    """Write one self-contained file.

    Raises:
        ValueError: the file would be larger than 8 MB, too much for the repository.
    """
    if model.ByteSize() > MOST_BYTES:
        raise ValueError(f"{path.name} would be {model.ByteSize()} bytes, at most {MOST_BYTES}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
