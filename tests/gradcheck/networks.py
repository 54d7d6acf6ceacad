"""The networks that are tested: seeded weights, and their ONNX files from both exporters."""

import io
import os
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx
import torch
from torch import nn

from gradcheck import architectures, transformers

__all__ = ["NETWORKS", "SEED", "Network", "build", "exported"]

SEED = int(os.environ.get("CANDOR_SEED", random.randrange(2**31)))
"""Fresh in every run; every assertion names it."""


@dataclass(frozen=True)
class Network:
    """A family: how to build it, what a row of its input is, and how it is exported."""

    build: Callable[[], nn.Module]
    row: tuple[int, ...]
    dynamo: bool = True
    recurrent: bool = False


NETWORKS = {
    "mlp": Network(architectures.mlp, (13,)),
    "lenet": Network(architectures.lenet, (1, 28, 28)),
    "lenet_legacy": Network(architectures.lenet, (1, 28, 28), dynamo=False),
    "resnet": Network(architectures.resnet, (3, 33, 33)),
    "resnet_even": Network(architectures.resnet, (3, 32, 32), dynamo=False),
    "vgg": Network(architectures.vgg, (3, 24, 24), dynamo=False),
    "nin": Network(architectures.nin, (3, 16, 16), dynamo=False),
    "mobile": Network(architectures.mobile, (3, 17, 17)),
    "dense": Network(architectures.dense, (3, 12, 12), dynamo=False),
    "grouped": Network(architectures.grouped, (4, 16, 16)),
    "patches": Network(transformers.Patches, (3, 16, 16)),
    "windows": Network(transformers.Windows, (3, 16, 16)),
    "windows_legacy": Network(transformers.Windows, (3, 16, 16), dynamo=False),
    "convnext": Network(transformers.convnext, (3, 32, 32)),
    "convnext_legacy": Network(transformers.convnext, (3, 32, 32), dynamo=False),
    "fires": Network(architectures.fires, (3, 33, 33), dynamo=False),
    "inception": Network(architectures.inception, (3, 21, 21)),
    "inception_legacy": Network(architectures.inception, (3, 21, 21), dynamo=False),
    "patches_legacy": Network(transformers.Patches, (3, 16, 16), dynamo=False),
    "mobile_legacy": Network(architectures.mobile, (3, 17, 17), dynamo=False),
    "wave": Network(architectures.wave, (3, 40), dynamo=False),
    "lstm": Network(lambda: architectures.Reader(nn.LSTM, mean=False), (9, 6), recurrent=True),
    "bilstm": Network(
        lambda: architectures.Reader(nn.LSTM, mean=True, bidirectional=True, num_layers=2),
        (9, 6),
        dynamo=False,
        recurrent=True,
    ),
    "gru": Network(
        lambda: architectures.Reader(nn.GRU, mean=False, bidirectional=True), (9, 6), recurrent=True
    ),
    "rnn": Network(
        lambda: architectures.Reader(nn.RNN, mean=True, nonlinearity="relu"),
        (9, 6),
        dynamo=False,
        recurrent=True,
    ),
}


@cache
def build(name: str) -> nn.Module:
    """A network with random weights, its batch norms fitted to random inputs."""
    torch.manual_seed(SEED)
    module = NETWORKS[name].build()
    if not NETWORKS[name].recurrent:
        module.train()
        with torch.no_grad():
            for _ in range(8):
                module(torch.randn(8, *NETWORKS[name].row))
    return module.eval()


@cache
def exported(name: str) -> onnx.ModelProto:
    """The ONNX file of a network: dynamic batch, and dynamic time if it is recurrent."""
    network = NETWORKS[name]
    data = _exported_apart()[name] if network.recurrent and network.dynamo else _export(name)
    return onnx.load_from_string(data)


@cache
def _exported_apart() -> dict[str, bytes]:
    """Recurrent networks from a process of their own, one of each kind.

    A second LSTM exported by one process silently gets a fixed time axis (torch 2.13).
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "gradcheck.networks", folder],
            env={**os.environ, "CANDOR_SEED": str(SEED), "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )
        return {path.stem: path.read_bytes() for path in Path(folder).iterdir()}


def _export(name: str) -> bytes:
    module, network = build(name), NETWORKS[name]
    axes = {0: "batch", 1: "time"} if network.recurrent else {0: "batch"}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if network.dynamo:
            program = torch.onnx.export(
                module,
                (torch.randn(3, *network.row),),
                dynamo=True,
                verbose=False,
                dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.DYNAMIC),),
                input_names=["x"],
                output_names=["scores"],
            )
            onnx.save(program.model_proto, buffer)
        else:
            torch.onnx.export(
                module,
                (torch.randn(3, *network.row),),
                buffer,
                dynamo=False,
                dynamic_axes={"x": axes, "scores": {0: "batch"}},
                input_names=["x"],
                output_names=["scores"],
            )
    return buffer.getvalue()


if __name__ == "__main__":
    for chosen, family in NETWORKS.items():
        if family.recurrent and family.dynamo:
            Path(sys.argv[1], f"{chosen}.onnx").write_bytes(_export(chosen))
