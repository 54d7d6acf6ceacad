"""Published architectures at 224 x 224, written down from their papers, with random weights."""

import io
import logging
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import onnx
import torch
from torch import nn

from benchmarks.autodiff import blocks

__all__ = ["CONVOLUTIONAL", "NETWORKS", "ROW", "UNTUNED", "build", "fixed", "onnx_file"]

ROW = (3, 224, 224)


def resnet18() -> nn.Module:
    """He et al. 2016, arXiv:1512.03385."""
    layers: list[nn.Module] = [blocks.conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for c_in, c_out in pairwise((64, 64, 128, 256, 512)):
        stride = 1 if c_in == c_out else 2
        layers += [blocks.Residual(c_in, c_out, stride), blocks.Residual(c_out, c_out, 1)]
    return nn.Sequential(*layers, *blocks.classifier(512))


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, arXiv:1801.04381."""
    layers: list[nn.Module] = [blocks.conv(3, 32, 3, 2, act=nn.ReLU6)]
    c = 32
    for wider, c_out, n, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(n):
            layers.append(blocks.Inverted(c, c_out, stride if i == 0 else 1, wider=wider))
            c = c_out
    return nn.Sequential(*layers, blocks.conv(c, 1280, 1, act=nn.ReLU6), *blocks.classifier(1280))


def efficientnet_b0() -> nn.Module:
    """Tan and Le 2019, arXiv:1905.11946."""
    layers: list[nn.Module] = [blocks.conv(3, 32, 3, 2, act=nn.SiLU)]
    c = 32
    for wider, k, c_out, n, stride in (
        (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1),
        (6, 5, 192, 4, 2), (6, 3, 320, 1, 1),
    ):  # fmt: skip
        for i in range(n):
            step = stride if i == 0 else 1
            layers.append(blocks.Inverted(c, c_out, step, wider=wider, k=k, efficient=True))
            c = c_out
    return nn.Sequential(*layers, blocks.conv(c, 1280, 1, act=nn.SiLU), *blocks.classifier(1280))


def densenet121() -> nn.Module:
    """Huang et al. 2017, arXiv:1608.06993."""
    layers: list[nn.Module] = [blocks.conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    c = 64
    for n in (6, 12, 24, 16):
        for _ in range(n):
            layers.append(blocks.Dense(c, 32))
            c += 32
        layers += [nn.BatchNorm2d(c), nn.ReLU()]
        if n != 16:
            layers += [nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]
            c //= 2
    return nn.Sequential(*layers, *blocks.classifier(c))


def squeezenet() -> nn.Module:
    """Iandola et al. 2016, arXiv:1602.07360, version 1.1."""
    pool = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3)]
    fire = blocks.Fire
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool[0],
        fire(64, 16, 64), fire(128, 16, 64), pool[1],
        fire(128, 32, 128), fire(256, 32, 128), pool[2],
        fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256),
        nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Vit(nn.Module):
    """Dosovitskiy et al. 2021, arXiv:2010.11929, in the small size of Touvron et al. 2021."""

    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.layers = nn.Sequential(*(_Attended(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.layers(x))[:, 0])


class _Attended(nn.Module):
    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.qkv, self.join = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.mix = nn.Sequential(nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        qkv = self.qkv(self.norm_1(x)).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5, -1)
        x = x + self.join((weights @ v).transpose(1, 2).reshape(n, t, c))
        return x + self.mix(self.norm_2(x))


def shufflenet_v2() -> nn.Module:
    """Ma et al. 2018, arXiv:1807.11164, at width 1."""
    layers: list[nn.Module] = [blocks.conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    for (c_in, c_out), n in zip(pairwise((24, 116, 232, 464)), (4, 8, 4), strict=True):
        layers.append(blocks.Shuffled(c_in, c_out, 2))
        layers += [blocks.Shuffled(c_out, c_out, 1) for _ in range(n - 1)]
    return nn.Sequential(*layers, blocks.conv(464, 1024, 1), *blocks.classifier(1024))


def googlenet() -> nn.Module:
    """Szegedy et al. 2015, arXiv:1409.4842, with batch norms and without side heads."""
    inception, pool = blocks.Inception, lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        blocks.conv(3, 64, 7, 2), pool(), blocks.conv(64, 64, 1), blocks.conv(64, 192, 3), pool(),
        inception(192, 64, (96, 128), (16, 32), 32), inception(256, 128, (128, 192), (32, 96), 64),
        pool(),
        inception(480, 192, (96, 208), (16, 48), 64),
        inception(512, 160, (112, 224), (24, 64), 64),
        inception(512, 128, (128, 256), (24, 64), 64),
        inception(512, 112, (144, 288), (32, 64), 64),
        inception(528, 256, (160, 320), (32, 128), 128), nn.MaxPool2d(2, 2, ceil_mode=True),
        inception(832, 256, (160, 320), (32, 128), 128),
        inception(832, 384, (192, 384), (48, 128), 128),
        *blocks.classifier(1024),
    )  # fmt: skip


class _ChannelNorm(nn.LayerNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def convnext_tiny() -> nn.Module:
    """Liu et al. 2022, arXiv:2201.03545."""
    layers: list[nn.Module] = [nn.Conv2d(3, 96, 4, 4), _ChannelNorm(96, eps=1e-6)]
    for c, n in ((96, 3), (192, 3), (384, 9), (768, 3)):
        layers += [blocks.Next(c) for _ in range(n)]
        if c < 768:
            layers += [_ChannelNorm(c, eps=1e-6), nn.Conv2d(c, 2 * c, 2, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(768, eps=1e-6)]
    return nn.Sequential(*layers, *head, nn.Linear(768, 1000))


def resnet50() -> nn.Module:
    """He et al. 2016, arXiv:1512.03385; the stride in the 3 x 3 convolution."""
    layers: list[nn.Module] = [blocks.conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    c = 64
    for mid, n in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(n):
            stride = 2 if i == 0 and mid > 64 else 1
            layers.append(blocks.Bottleneck(c, mid, 4 * mid, stride))
            c = 4 * mid
    return nn.Sequential(*layers, *blocks.classifier(c))


def regnet_x_400mf() -> nn.Module:
    """Radosavovic et al. 2020, arXiv:2003.13678: groups of 16 channels."""
    layers: list[nn.Module] = [blocks.conv(3, 32, 3, 2)]
    c = 32
    for c_out, n in ((32, 1), (64, 2), (160, 7), (400, 12)):
        for i in range(n):
            stride = 2 if i == 0 else 1
            layers.append(blocks.Bottleneck(c, c_out, c_out, stride, groups=c_out // 16))
            c = c_out
    return nn.Sequential(*layers, *blocks.classifier(c))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18,
    "MobileNetV2": mobilenet_v2,
    "DenseNet-121": densenet121,
    "SqueezeNet 1.1": squeezenet,
    "EfficientNet-B0": efficientnet_b0,
    "ViT-S/16": Vit,
    "ShuffleNetV2": shufflenet_v2,
    "GoogLeNet": googlenet,
    "ConvNeXt-T": convnext_tiny,
    "ResNet-50": resnet50,
    "RegNetX-400MF": regnet_x_400mf,
}

UNTUNED = frozenset({"ConvNeXt-T", "ResNet-50", "RegNetX-400MF"})
"""No rule was written or changed for their speed."""

CONVOLUTIONAL = frozenset(NETWORKS) - {"ViT-S/16"}


def build(name: str, *, fit: bool = True) -> nn.Module:
    """A network with random weights, its batch norms fitted to noise so that signals stay sane."""
    torch.manual_seed(0)
    module = NETWORKS[name]()
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average over what is seen
    if norms and fit:
        module.train()
        with torch.no_grad():
            for _ in range(2):
                module(torch.randn(4, *ROW))
    return module.eval().requires_grad_(requires_grad=False)


def onnx_file(name: str, module: nn.Module | None = None) -> bytes:
    """Export a network for any number of rows; kept under `.cache/benchmarks`."""
    path = Path(".cache/benchmarks") / f"{name.replace('/', '-')}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_export(module or build(name)))
    return path.read_bytes()


def fixed(file: bytes, batch: int) -> onnx.ModelProto:
    """The same network for one number of rows."""
    model = onnx.load_from_string(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def _export(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # torchvision is not installed: so be it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own internals
        program = torch.onnx.export(
            module,
            (torch.randn(2, *ROW),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=["x"],
            output_names=["scores"],
            verbose=False,
        )
    onnx.save(program.model_proto, buffer)
    return buffer.getvalue()
