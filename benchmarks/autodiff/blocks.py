"""The building blocks of the published convolutional networks that are measured."""

import torch
from torch import nn

__all__ = [
    "Bottleneck",
    "Dense",
    "Fire",
    "Inception",
    "Inverted",
    "Next",
    "Residual",
    "Shuffled",
    "classifier",
    "conv",
]


def conv(
    c_in: int, c_out: int, k: int, stride: int = 1, *, groups: int = 1, act: type | None = nn.ReLU
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    layers = [
        nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


def classifier(c: int, classes: int = 1000) -> list[nn.Module]:
    """Global average pooling and a linear layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes)]


class Residual(nn.Module):
    """The basic block of He et al. 2016."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(c_in, c_out, 3, stride), conv(c_out, c_out, 3, act=None))
        same = stride == 1 and c_in == c_out
        self.short = nn.Sequential() if same else conv(c_in, c_out, 1, stride, act=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


class Bottleneck(nn.Module):
    """The bottleneck of He et al. 2016; with groups, that of RegNet."""

    def __init__(self, c_in: int, mid: int, c_out: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        middle = conv(mid, mid, 3, stride, groups=groups)
        self.body = nn.Sequential(conv(c_in, mid, 1), middle, conv(mid, c_out, 1, act=None))
        same = stride == 1 and c_in == c_out
        self.short = nn.Sequential() if same else conv(c_in, c_out, 1, stride, act=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


class Inverted(nn.Module):
    """Inverted residual of Sandler et al. 2018; with squeeze-excite, the MBConv of EfficientNet."""

    def __init__(
        self, c_in: int, c_out: int, stride: int, *, wider: int, k: int = 3, efficient: bool = False
    ) -> None:
        super().__init__()
        act, wide = (nn.SiLU if efficient else nn.ReLU6), c_in * wider
        self.expand = nn.Sequential() if wider == 1 else conv(c_in, wide, 1, act=act)
        self.depth = conv(wide, wide, k, stride, groups=wide, act=act)
        self.gate = _gate(wide, max(1, c_in // 4)) if efficient else None
        self.project = conv(wide, c_out, 1, act=None)
        self.keeps = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depth(self.expand(x))
        y = self.project(y if self.gate is None else y * self.gate(y))
        return x + y if self.keeps else y


def _gate(c: int, squeezed: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(c, squeezed, 1),
        nn.SiLU(),
        nn.Conv2d(squeezed, c, 1),
        nn.Sigmoid(),
    )


class Dense(nn.Module):
    """Bottleneck layer of Huang et al. 2017."""

    def __init__(self, c: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c),
            nn.ReLU(),
            conv(c, 4 * growth, 1),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], 1)


class Fire(nn.Module):
    """Squeeze and expand of Iandola et al. 2016."""

    def __init__(self, c: int, squeezed: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(c, squeezed, 1), nn.ReLU())
        self.near = nn.Sequential(nn.Conv2d(squeezed, wide, 1), nn.ReLU())
        self.far = nn.Sequential(nn.Conv2d(squeezed, wide, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.near(x), self.far(x)], 1)


class Inception(nn.Module):
    """Four branches of Szegedy et al. 2015."""

    def __init__(self, c: int, a: int, b: tuple[int, int], d: tuple[int, int], e: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv(c, a, 1),
                nn.Sequential(conv(c, b[0], 1), conv(b[0], b[1], 3)),
                nn.Sequential(conv(c, d[0], 1), conv(d[0], d[1], 3)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(c, e, 1)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Shuffled(nn.Module):
    """Unit of Ma et al. 2018 (ShuffleNet V2)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        half = c_out // 2
        inner = c_in if stride == 2 else half
        self.stride = stride
        self.short = (
            nn.Sequential(conv(c_in, c_in, 3, 2, groups=c_in, act=None), conv(c_in, half, 1))
            if stride == 2
            else nn.Sequential()
        )
        self.body = nn.Sequential(
            conv(inner, half, 1),
            conv(half, half, 3, stride, groups=half, act=None),
            conv(half, half, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = (x, x) if self.stride == 2 else x.chunk(2, 1)
        y = torch.cat([self.short(a), self.body(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Next(nn.Module):
    """Block of Liu et al. 2022 (ConvNeXt)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.mix = nn.Sequential(
            nn.LayerNorm(c, eps=1e-6), nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c)
        )
        self.scale = nn.Parameter(torch.full((c, 1, 1), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.mix(self.depth(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.scale * y
