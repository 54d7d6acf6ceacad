"""Small torch networks with random weights, as files and as modules, to test programs on."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import nn

from candor.autodiff import anatomy, prepare
from candor.result import Array, Geometry
from candor.runtime.compiled import Compiled
from candor.runtime.programs.blueprint import Activation, Blueprint
from candor.runtime.session import Session, SessionPolicy

POLICY = SessionPolicy(providers=("cpu",), intra_op_threads=1)


class ConvNet(nn.Module):
    """Convolutions, then one of three heads, on which the members of the CAM family differ."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.head = {
            "gap": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 7)),
            "mlp": lambda: nn.Sequential(
                nn.Flatten(), nn.Linear(12 * 6 * 6, 16), nn.ReLU(), nn.Linear(16, 7)
            ),
            "conv": lambda: nn.Sequential(
                nn.Conv2d(12, 10, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(10 * 4 * 4, 7)
            ),
        }[head]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [n, 3, 24, 24] -> logits [n, 7]."""
        return self.head(self.features(x))


@dataclass(frozen=True)
class Case:
    """A network in both worlds."""

    module: nn.Module
    compiled: Compiled
    blueprint: Blueprint

    @property
    def features(self) -> str:
        """The graph's name for what `module.features` gives: its last layer of 12 channels."""
        layers = self.blueprint.anatomy.layers
        return [layer.name for layer in layers if layer.shape[1] == 12][-1]


def export(module: nn.Module, example: torch.Tensor, *, dynamic: bool = True) -> onnx.ModelProto:
    """The ONNX file of a module; any number of rows, or the example's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own internals
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) if dynamic else None,
            input_names=["x"],
            output_names=["logits"],
            verbose=False,
        )
    buffer = io.BytesIO()
    onnx.save(program.model_proto, buffer)
    return onnx.load_from_string(buffer.getvalue())


def compiled(
    model: onnx.ModelProto, geometry: Geometry, activation: Activation
) -> tuple[Compiled, Blueprint]:
    """The programs of a model, run by ONNX Runtime on one thread."""
    graph = prepare(model)
    found = anatomy(graph)
    blueprint = Blueprint(
        graph, found, activation, geometry.kind, geometry.channel_axis, graph.inputs[0]
    )
    subject = Compiled(
        blueprint,
        geometry,
        lambda program, rows: Session(program, POLICY, rows=rows),
        lambda _program, _rows, _seconds: None,
    )
    return subject, blueprint


def one_hot(indices: list[int], n_classes: int) -> Array:
    """Directions [n, k] that ask for one class a row."""
    return np.eye(n_classes, dtype=np.float32)[indices]
