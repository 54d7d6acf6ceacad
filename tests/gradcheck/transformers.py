"""Torch modules of the families whose channels come last: attention, and ConvNeXt."""

import torch
from torch import nn


class Patches(nn.Module):
    """A transformer over patches, its attention written out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 17, 16) * 0.5)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.qkv, self.join = nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm_1, self.norm_2, self.norm_3 = (nn.LayerNorm(16) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm_1(x)).reshape(n, t, 3, 2, 8).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * 8**-0.5, -1)
        x = x + self.join((weights @ v).transpose(1, 2).reshape(n, t, 16))
        x = x + self.mlp(self.norm_2(x))
        return self.head(self.norm_3(x)[:, 0])


class Windows(nn.Module):
    """Attention within shifted windows, channels last, and the merging of patches: as Swin does."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in (8, 8, 32, 16))
        self.qkv = nn.ModuleList(nn.Linear(8, 24) for _ in range(2))
        self.bias = nn.Parameter(torch.randn(2, 1, 2, 16, 16) * 0.5)
        self.merge = nn.Linear(32, 16, bias=False)
        self.head = nn.Linear(16, 5)

    def attend(self, x: torch.Tensor, block: int) -> torch.Tensor:
        n, h, w, c = x.shape
        x = torch.roll(x, (-2 * block, -2 * block), (1, 2))
        x = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv[block](x).reshape(-1, 16, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * 0.5 + self.bias[block], -1)
        x = (weights @ v).transpose(1, 2).reshape(n, h // 4, w // 4, 4, 4, c)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(x, (2 * block, 2 * block), (1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        for block in range(2):
            x = x + self.attend(self.norms[block](x), block)
        parts = [x[:, row::2, column::2] for column in range(2) for row in range(2)]
        x = self.merge(self.norms[2](torch.cat(parts, -1)))
        return self.head(self.norms[3](x).mean((1, 2)))


class Wide(nn.Module):
    """A ConvNeXt block: a wide depthwise kernel, then the rest with the channels last."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.rest = nn.Sequential(
            nn.LayerNorm(c), nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c)
        )
        self.scale = nn.Parameter(torch.rand(c, 1, 1) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rest(self.space(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.scale * y


def convnext() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 4),
        Wide(8),
        nn.GroupNorm(1, 8),
        nn.Conv2d(8, 12, 2, 2),
        Wide(12),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(12),
        nn.Linear(12, 5),
    )
