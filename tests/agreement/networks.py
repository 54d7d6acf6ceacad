"""Small random networks whose scores spread widely enough that an explanation means something."""

import torch
from torch import nn

from agreement.torch_subject import TorchSubject
from candor.explain.subject import Geometry


def convolutional(seed: int, *, smooth: bool = False, dtype=torch.float64) -> TorchSubject:
    """3x16x16 pictures through two convolutions and an MLP head to 3 classes."""
    torch.manual_seed(seed)
    activation = nn.Tanh if smooth else nn.ReLU
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        activation(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(8 * 8 * 8, 16),
        activation(),
        nn.Linear(16, 3),
    )
    return TorchSubject(_spread(network), dtype=dtype)


def recurrent(seed: int, *, pad: int | None = 0) -> TorchSubject:
    """Sentences over 30 words (0 pads, 1 is unknown) through a bidirectional LSTM to 3 classes."""
    torch.manual_seed(seed)
    geometry = Geometry("tokens", None, pad=pad, unknown=1)
    return TorchSubject(_spread(_Reader()), geometry, embed=nn.Embedding(30, 8))


def series(seed: int) -> TorchSubject:
    """Series [20, 4] through an LSTM to 3 classes."""
    torch.manual_seed(seed)
    return TorchSubject(_spread(_Reader(n_inputs=4)), Geometry("series", 1))


class _Reader(nn.Module):
    def __init__(self, n_inputs: int = 8) -> None:
        super().__init__()
        self.memory = nn.LSTM(n_inputs, 10, batch_first=True, bidirectional=True)
        self.head = nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.memory(x)[0].mean(1))


def _spread(network: nn.Module) -> nn.Module:
    """Enlarge the weights: torch's defaults leave hardly any difference between inputs."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return network
