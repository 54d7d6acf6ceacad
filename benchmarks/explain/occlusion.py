"""Occlusion that runs only what a window reaches, beside one forward pass for each window.

The ceiling is arithmetic: the multiplications of a forward pass over those of what the windows
reach, on the mean over all windows. No exact way can spare more, where multiplications are all that
takes time.
"""

import math
import os
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.autodiff.networks import onnx_file
from benchmarks.explain.asked import Asked
from benchmarks.explain.subjects import Timed, bare, best_batch, network, open_subject, repeated
from benchmarks.explain.turns import Steps, in_turns
from benchmarks.interleave import Contest, machine, markdown, save
from benchmarks.quality import squeezenet
from candor.explain.occlusion import occlusion
from candor.explain.options import Occlusion
from candor.explain.question import Question
from candor.explain.windows import slide
from candor.result import Array, Attribution
from candor.runtime.blueprints import plan_explanations
from candor.runtime.manifest import Manifest
from candor.runtime.programs.reach import reach
from candor.runtime.programs.recompute import for_one_row
from candor.runtime.programs.views import extents_of
from candor.runtime.programs.worth import multiplications

__all__ = ["main"]

WINDOW, STRIDE = 32, 16
TURN_S = 0.3
NETWORKS = ("ResNet-18", "SqueezeNet 1.1", "VGG-11", "GoogLeNet", "MobileNetV2")


def main(asked: Asked) -> None:
    """Print the table and store its samples."""
    contests: dict[str, Contest] = {}
    rows: list[list[object]] = []
    for name in (name for name in NETWORKS if asked.only in name):
        timed = _network(name)
        batch = best_batch(lambda x, timed=timed: bare(timed.file, x), timed.x)  # type: ignore[misc]
        contender = bare(timed.file, repeated(timed.x, batch))
        options = Occlusion((WINDOW, WINDOW), (STRIDE, STRIDE))
        found = [
            in_turns(
                _longer(occlusion(timed.subject, Question(timed.x), options)), contender, batch
            )
            for _ in range(asked.rounds + 1)
        ][1:]  # one to warm up
        contests[name] = Contest(
            {"occlusion": [t.spent_s for t in found], "forwards": [t.bare_s for t in found]}
        )
        gain = contests[name].ratio("forwards", "occlusion")
        ceiling = _ceiling(timed)
        n = found[0].n_evaluations
        spent = contests[name].milliseconds("occlusion").median / n
        rows.append([name, batch, f"{contests[name].milliseconds('forwards').median / n:.1f}",
                     f"{spent:.1f}", gain, f"{ceiling:.2f}",
                     f"{gain.median / ceiling:.0%}"])  # fmt: skip
        print(*rows[-1], sep=" | ", flush=True)
    header = ("network", "rows a forward", "forward, ms", "window, ms", "forwards / occlusion",
              "ceiling", "share")  # fmt: skip
    print(markdown(header, rows))
    save(asked.out, machine("onnxruntime", "numpy"), contests)


def _longer(steps: Steps) -> Steps:
    """The same in longer turns: what one side leaves in the caches costs the other little."""
    began = perf_counter()
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            answer: Attribution = end.value
            return answer
        if perf_counter() - began > TURN_S:
            yield progress
            began = perf_counter()


def _network(name: str) -> Timed:
    """A network with random weights; SqueezeNet with its own, where the data sets are."""
    root = os.environ.get("CANDOR_DATA")
    if name == "SqueezeNet 1.1" and root:
        return open_subject(name, squeezenet.build(Path(root)))
    if name != "VGG-11":
        return network(name)
    return open_subject(name, onnx.load_from_string(onnx_file(name, _vgg11())))


def _vgg11() -> nn.Module:
    """Simonyan and Zisserman 2014, arXiv:1409.1556, its first two dense layers a mean."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for widths in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*layers, *head).eval()


def _ceiling(timed: Timed) -> float:
    """The multiplications of a pass over those of what windows reach."""
    blueprint = plan_explanations(timed.file, Manifest(), None, None).blueprint
    graph = for_one_row(blueprint)
    found = reach(graph, blueprint.input, (2, 3))
    boxes = found.boxes(_windows(timed.x.shape[2:]))
    whole = part = 0.0
    for node in graph.nodes:
        value = node.output[0]
        n, share = multiplications(graph, value), 1.0
        if value in found.patches:
            low, high = boxes[found.patches[value].box]
            extents = extents_of(graph, value, found.patches[value].axes)
            share = float(np.prod(high - low, axis=1).mean()) / math.prod(extents)
        whole += n
        part += n * share
    return whole / part


def _windows(extents: tuple[int, ...]) -> tuple[Array, Array]:
    windows = slide(extents, (WINDOW, WINDOW), (STRIDE, STRIDE))
    ends = windows.ends(np.arange(math.prod(windows.shape)))
    return ends[:, 0], ends[:, 1]
