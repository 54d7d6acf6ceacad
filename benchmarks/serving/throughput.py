"""Predictions a second: beside a bare ONNX Runtime loop, and beside an echo."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.autodiff.networks import onnx_file
from benchmarks.serving.processes import SERVER_CORE, echo, pinned, service
from benchmarks.serving.raw import Run, closed_loop
from benchmarks.serving.rows import INFER, PREDICT, Row, inferences, predictions, spread, unique

__all__ = ["large", "small"]

_ROUNDS = 7
_SMALL = "digits-lenet"


def large(seconds: float) -> Iterator[Row]:
    """ResNet-18 at 224 through gRPC, in turns with a loop that has the model to itself."""
    requests = predictions("resnet", "x", unique((1, 3, 224, 224), 32))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "resnet" / "1" / "model.onnx"
        file.parent.mkdir(parents=True)
        file.write_bytes(onnx_file("ResNet-18"))
        loop = pinned([sys.executable, "-m", "benchmarks.serving.bare", str(file)], SERVER_CORE)
        if loop.stdin is None or loop.stdout is None:
            raise RuntimeError("the loop has no pipes")
        bare: list[float] = []
        ours: list[float] = []
        with service(Path(folder)) as running:
            for _ in range(_ROUNDS):
                loop.stdin.write(f"{seconds}\n".encode())
                loop.stdin.flush()
                bare.append(float(loop.stdout.readline()))
                run = asyncio.run(closed_loop(running.target, PREDICT, requests, 2, seconds))
                ours.append(run.rate)
        loop.kill()
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    yield Row(
        "ResNet-18 at 224 through gRPC, two callers, against a bare ONNX Runtime loop",
        f"{spread(ours, 1)} /s", f"{spread(bare, 1)} /s", spread(ratios), ">= 0.93",
    )  # fmt: skip


def small(seconds: float) -> Iterator[Row]:
    """A small model by each of the two protocols, in turns with an echo of the same payloads."""
    rows = unique((1, 1, 28, 28), 512)
    with service() as running:
        for rpc, requests in (
            (INFER, inferences(_SMALL, "image", rows)),
            (PREDICT, predictions(_SMALL, "image", rows)),
        ):
            yield _beside_echo(running.target, rpc, requests, seconds)


def _beside_echo(target: str, rpc: str, requests: list[bytes], seconds: float) -> Row:
    def loop(asked: str) -> Run:
        return asyncio.run(closed_loop(asked, rpc, requests, 8, seconds))

    size = loop(target).answer_bytes
    with echo(size) as echoing:
        turns = [(loop(echoing).rate, loop(target).rate) for _ in range(_ROUNDS)]
    echoed, ours = map(list, zip(*turns, strict=True))
    ratios = [mine / theirs for theirs, mine in turns]
    name = rpc.rpartition("/")[2]
    return Row(
        f"small model ({_SMALL}) by {name}, eight callers, against a grpc.aio echo of the same "
        "payload",
        f"{spread(ours, 0)} /s", f"{spread(echoed, 0)} /s", spread(ratios), ">= 0.6",
    )  # fmt: skip
