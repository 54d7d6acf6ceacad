"""What comes back in parts, of every second element each, is the same as what comes whole.

All numbers are small integers, so that sums are exact, and equal to those of torch to the last bit.
"""

import copy
import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from candor.autodiff import gradient, prepare
from gradcheck.networks import SEED
from gradcheck.test_networks import session


class Branches(nn.Module):
    """The sum, or with `joined` the concatenation, of what several ways make of one value."""

    def __init__(self, *ways: nn.Module, joined: bool = False) -> None:
        super().__init__()
        self.ways, self.joined = nn.ModuleList(ways), joined

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = [way(x) for way in self.ways]
        return torch.cat(made, 1) if self.joined else sum(made[1:], made[0])


def conv(c: int, m: int, k: int, s: int = 1, p: int = 0, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c, m, k, s, p, groups=groups)


def inverted(wide: int) -> nn.Sequential:
    return nn.Sequential(
        conv(8, wide, 1), nn.ReLU6(), conv(wide, wide, 3, 2, 1, wide), nn.ReLU6(), conv(wide, 8, 1)
    )


def inception() -> nn.Module:
    return Branches(
        conv(48, 16, 1),
        nn.Sequential(conv(48, 16, 1), nn.ReLU(), conv(16, 32, 3, 1, 1)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(48, 16, 1)),
        joined=True,
    )


CASES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "stem, pool": (
        lambda: nn.Sequential(conv(3, 16, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), 3),
    "stem, norm, pool": (
        lambda: nn.Sequential(
            conv(3, 16, 3, 2),
            nn.BatchNorm2d(16, eps=0),
            nn.ReLU6(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        ), 3),
    "stem of stride 1": (
        lambda: nn.Sequential(conv(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)), 3),
    "stem of stride 4": (
        lambda: nn.Sequential(conv(3, 16, 5, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)), 3),
    "stem, strided": (
        lambda: nn.Sequential(conv(3, 16, 3, 2, 1), conv(16, 8, 3, 2, 1), nn.ReLU()), 3),
    "pool of odd channels": (
        lambda: nn.Sequential(conv(4, 11, 1), nn.ReLU(), nn.MaxPool2d(3, 2), conv(11, 3, 1)), 4),
    "inverted": (lambda: inverted(32), 8),
    "inverted, odd channels": (lambda: inverted(20), 8),
    "shortcut": (
        lambda: nn.Sequential(
            nn.ReLU(),
            Branches(
                nn.Sequential(conv(8, 16, 3, 2, 1), nn.ReLU(), conv(16, 16, 3, 1, 1)),
                conv(8, 16, 1, 2),
            ),
            nn.ReLU(),
        ), 8),
    "shortcut alone": (lambda: nn.Sequential(nn.ReLU(), conv(8, 16, 1, 2)), 8),
    "pool beside stride": (
        lambda: nn.Sequential(
            nn.ReLU(), Branches(nn.MaxPool2d(3, 2, 1), conv(8, 8, 3, 2, 1), joined=True)
        ), 8),
    "inception": (
        lambda: nn.Sequential(conv(8, 48, 1), nn.ReLU(), inception(), nn.ReLU(), conv(64, 4, 1)),
        8),
}  # fmt: skip


def integral(module: nn.Module) -> nn.Module:
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.fill_(1)
        else:
            value.copy_(torch.randint(-2, 3, value.shape))
    return module.eval().requires_grad_(requires_grad=False)


def compiled(module: nn.Module, row: tuple[int, ...]) -> onnx.ModelProto:
    """x, cotangent -> the gradient, for any number of rows."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(2, *row),), buffer, dynamo=False, input_names=["x"],
            output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=18,
            do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
    graph = prepare(onnx.load_from_string(buffer.getvalue()))
    graph.add_input("cotangent", TensorProto.FLOAT, graph.shape("y"))
    return graph.finish([gradient(graph, {"y": "cotangent"}, ["x"])["x"]])


@pytest.mark.parametrize("size", [(16, 20), (17, 23)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_parts_are_the_same_as_the_whole(name, size):
    torch.manual_seed(SEED)
    make, channels = CASES[name]
    module, row = integral(make()), (channels, *size)
    x = torch.randint(-2, 3, (2, *row)).float().requires_grad_()
    y = module(x)
    cotangent = torch.randint(-2, 3, y.shape).float()
    leaf = x.detach().double().requires_grad_()
    exact = copy.deepcopy(module).double()(leaf)
    (wanted,) = torch.autograd.grad(exact, leaf, cotangent.double())
    feeds = {"x": x.detach().numpy(), "cotangent": cotangent.numpy()}
    model = compiled(module, row)
    for optimised in (True, False):
        (found,) = session(model, optimised=optimised).run(None, feeds)
        np.testing.assert_array_equal(
            found, wanted.numpy().astype(np.float32), err_msg=f"CANDOR_SEED={SEED}, {optimised=}"
        )
