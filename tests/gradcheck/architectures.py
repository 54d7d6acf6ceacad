"""Torch modules, one of each family that classifiers come from, as small as they can be."""

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.short = nn.Sequential()
        if stride > 1 or c_in != c_out:
            self.short = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


class Excited(nn.Module):
    """An inverted residual with a depthwise convolution, squeeze-excite and hard-swish."""

    def __init__(self, c: int, wide: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c, wide, 1),
            nn.BatchNorm2d(wide),
            nn.Hardswish(),
            nn.Conv2d(wide, wide, 5, stride, 2, groups=wide),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, 4, 1),
            nn.SiLU(),
            nn.Conv2d(4, wide, 1),
            nn.Hardsigmoid(),
        )
        self.out = nn.Conv2d(wide, c, 1)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        y = self.out(y * self.gate(y))
        return x + y if self.stride == 1 else y


class Dense(nn.Module):
    def __init__(self, c: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, growth, 3, padding=1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], 1)


class Branches(nn.Module):
    """An inception block: kernels of several sizes and a pooling side by side."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Conv2d(c, 4, 1),
                nn.Sequential(nn.Conv2d(c, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 5, padding=2)),
                nn.Sequential(nn.Conv2d(c, 4, (1, 7), padding=(0, 3)), nn.BatchNorm2d(4)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(c, 4, 1)),
                nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(c, 4, 1)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.cat([branch(x) for branch in self.branches], 1))


class Fire(nn.Module):
    """Few channels, then two convolutions of these side by side."""

    def __init__(self, c: int, few: int, one: int, two: int) -> None:
        super().__init__()
        self.few = nn.Sequential(nn.Conv2d(c, few, 1), nn.ReLU())
        self.one = nn.Sequential(nn.Conv2d(few, one, 1), nn.ReLU6())
        self.two = nn.Sequential(nn.Conv2d(few, two, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        few = self.few(x)
        return torch.cat([self.one(few), self.two(few)], 1)


class Reader(nn.Module):
    """A recurrent layer, read at its last step or averaged over time."""

    def __init__(self, kind: type[nn.RNNBase], *, mean: bool, **options: object) -> None:
        super().__init__()
        self.memory = kind(6, 8, batch_first=True, **options)
        self.head = nn.Linear(8 * (2 if self.memory.bidirectional else 1), 4)
        self.mean = mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.memory(x)[0]
        return self.head(h.mean(1) if self.mean else h[:, -1])


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        Residual(16, 24, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 7),
    )


def fires() -> nn.Module:
    pool = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(2)]
    fires = [Fire(16, 4, 16, 20), Fire(36, 5, 17, 16), Fire(33, 6, 16, 16)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2), nn.ReLU(), pool[0], fires[0], pool[1], *fires[1:], *head
    )


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 36, 32),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(32, 5),
    )


def nin() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, padding=2),
        nn.LeakyReLU(0.1),
        nn.Conv2d(12, 8, 1),
        nn.ELU(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def mobile() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Hardswish(),
        Excited(8, 16, 1),
        Excited(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        Dense(6, 4),
        Dense(10, 4),
        nn.BatchNorm2d(14),
        nn.ReLU(),
        nn.Conv2d(14, 8, 1),
        nn.AvgPool2d(2),
        Dense(8, 4),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def inception() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Branches(6),
        nn.LocalResponseNorm(3),
        Branches(20),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(20, 5),
    )


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, 2, 2, dilation=2, groups=2),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.PixelUnshuffle(2),
        nn.ChannelShuffle(4),
        nn.Conv2d(32, 8, (1, 3), padding=(0, 1)),
        nn.Mish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def wave() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 12, 3, 2),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3)
    )
