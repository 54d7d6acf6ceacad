"""The ways to a prediction and its input gradient that are compared."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ad
import torch
from torch import nn

from benchmarks.autodiff.networks import fixed
from candor.errors import CandorError
from candor.result import Array
from candor.runtime.blueprints import plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.manifest import Manifest
from candor.runtime.session import Session, SessionPolicy

__all__ = ["FORWARD", "OURS", "PEER", "TORCH", "agree", "forward", "ours", "peer", "torchs"]

FORWARD, OURS, TORCH, PEER = "forward", "candor", "torch", "onnx-ad"

_POLICY = SessionPolicy(providers=("cpu",), intra_op_threads=1)

_REFUSALS = (onnx_ad.UnsupportedOperator, onnx_ad.UnrollTooLarge, NotImplementedError, ValueError)

Run = Callable[[], tuple[Array, Array]]
"""One call: scores [n, k] and the gradient of each row's top score, [n, ...]."""


def forward(file: bytes, x: Array) -> Callable[[], object]:
    """ONNX Runtime on the file as it is."""
    session = Session(onnx.load_from_string(file), _POLICY)
    name = session.inputs[0].name
    return lambda: session.run({name: x})


def ours(file: bytes, x: Array, on_load: Callable[[], None] = lambda: None) -> Run:
    """The gradient that the service answers with: its program, its session, its way to run it.

    The first call compiles it; `on_load` is told when that is done.
    """
    plan = plan_explanations(onnx.load_from_string(file), Manifest(), None, None)

    def open_session(program: onnx.ModelProto, rows: int | None) -> Session:
        session = Session(program, _POLICY, rows=rows)
        del program
        on_load()
        return session

    compiled = Compiled(
        plan.blueprint,
        plan.geometry,
        open_session,
        on_run=lambda _program, _rows, _seconds: None,
    )
    top = np.zeros((len(x), plan.n_classes), np.float32)

    def run() -> tuple[Array, Array]:
        found = compiled.gradient(x, top, "score")
        return found.scores.score, found.gradient

    return run


def torchs(module: nn.Module, x: Array) -> Run:
    """torch, forward and backward to the input; no parameter wants a gradient."""
    leaf = torch.from_numpy(x).requires_grad_()

    def run() -> tuple[Array, Array]:
        scores = module(leaf)
        (found,) = torch.autograd.grad(scores.max(dim=1).values.sum(), leaf)
        return scores.detach().numpy(), found.numpy()

    return run


def peer(file: bytes, x: Array) -> Run | str:
    """onnx-ad, from the network for this number of rows; or the reason why it cannot.

    Its program wants the cotangent as an input, which takes no time here.
    """
    try:
        program = onnx_ad.reverse(
            fixed(file, len(x)), inputs=["x"], outputs=["scores"], layout="onnx"
        )
        session = Session(program, _POLICY)
    except (*_REFUSALS, CandorError) as error:
        return f"{type(error).__name__}: {error}".split("\n", 1)[0]
    given = {spec.name for spec in session.outputs}
    scores = Session(onnx.load_from_string(file), _POLICY).run({"x": x})["scores"]
    top = np.zeros((*scores.shape, 1), np.float32)
    top[np.arange(len(x)), scores.argmax(1)] = 1
    feeds = {"x": x, "adj_scores": top}
    wanted = [name for name in ("scores", "adj_x") if name in given]

    def run() -> tuple[Array, Array]:
        found = session.run(feeds, wanted)
        return found.get("scores", scores), found["adj_x"][..., 0]

    return run


def agree(found: Array, wanted: Array) -> float:
    """The cosine between two gradients, over all rows."""
    a, b = found.ravel().astype(np.float64), wanted.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
