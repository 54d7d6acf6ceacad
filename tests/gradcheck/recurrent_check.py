"""The check of a recurrent layer: the runtime's forward and gradients against float64."""

from collections.abc import Iterator

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, TensorProto

from candor.autodiff import gradient, prepare
from gradcheck.networks import SEED
from gradcheck.recurrences import Layer, draw, expected, model_of

__all__ = ["assert_close", "check", "compiled", "run"]

TOLERANCE = 1e-4
"""Gates without a bound make much of the runtime's rounding: of 38,000 gradients over 34 seeds two
were off by over 1e-5 of the largest entry, the worst (GRU, LeakyRelu) by 3.5e-5."""
CLOSE_TO_A_KINK = 1e-4
LARGE = 5.0
"""States beyond it are on their way to overflow: gates without a bound let them grow."""


def compiled(
    model: ModelProto, scores: list[str], wrt: list[str], states: list[str] | None = None
) -> onnxruntime.InferenceSession:
    """A session whose outputs are the model's own, then the gradients."""
    graph = prepare(model)
    bars = {
        name: graph.add_input(f"{name}_bar", TensorProto.FLOAT, graph.shape(name))
        for name in scores
    }
    pulled = gradient(graph, bars, wrt, states or [])
    for name, value in pulled.items():
        graph.add_output(value, f"{name}_grad")
    built = graph.finish([*scores, *(f"{name}_grad" for name in pulled)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        built.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(session: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> dict:
    read = {value.name: feeds[value.name] for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, read), strict=True))


def leaves_of(values: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(a) if name == "l" else torch.from_numpy(a).double().requires_grad_()
        for name, a in values.items()
    }


def assert_close(found: np.ndarray, wanted: torch.Tensor, what: str) -> None:
    exact = wanted.detach().numpy()
    assert found.shape == exact.shape
    # Cotangents are of the order of one and so are rounded by 6e-8, however small what is left of
    # them in the end.
    scale = np.abs(exact).max(initial=1e-2)
    worst = np.abs(found - exact).max(initial=0)
    assert worst <= TOLERANCE * scale, f"CANDOR_SEED={SEED}: {what} is off by {worst} of {scale}"


def check(layer: Layer, rng: np.random.Generator) -> None:
    """Compare the runtime's forward and gradients with the equations in float64."""
    for _ in range(100):
        values = draw(layer, rng)
        leaves = leaves_of(values)
        results, states, margin = expected(layer, leaves)
        largest = max(float(r.detach().abs().max()) for r in results.values())
        if margin > CLOSE_TO_A_KINK and largest < LARGE:
            break
    else:
        raise AssertionError(f"CANDOR_SEED={SEED}: no operands for {layer} are tame")
    scores = [name for name in layer.outputs if layer.op == "LSTM" or name != "y_c"]
    through_time = ["y"] if "y" in scores else []
    wrt = [name for name in "xhc" if name in values]
    session = compiled(model_of(layer, values), scores, wrt, through_time)
    bars = {n: rng.standard_normal(tuple(results[n].shape), np.float32) for n in scores}
    found = run(session, values | {f"{n}_bar": bar for n, bar in bars.items()})
    for name in scores:
        assert_close(found[name], results[name], f"{layer} {name}")
    total = sum((results[n] * torch.from_numpy(bars[n])).sum() for n in scores)
    total = total + sum(leaf.sum() * 0 for name, leaf in leaves.items() if name != "l")
    every = [h for rows in states for row in rows for h in row] if through_time else []
    pulled = torch.autograd.grad(total, [*(leaves[n] for n in wrt), *every], allow_unused=True)
    for name, exact in zip(wrt, pulled, strict=False):
        assert_close(found[f"{name}_grad"], exact, f"{layer} d/d{name}")
    if through_time:
        exact = torch.zeros_like(results["y"])
        fill_in(exact, states, iter(pulled[len(wrt) :]))
        assert_close(found["y_grad"], exact, f"{layer} d/dy through time")


def fill_in(y: torch.Tensor, states: list, pulled: Iterator[torch.Tensor | None]) -> None:
    """Lay the gradients of the states [direction][row][step] out as y [t d n h] is."""
    for d, rows in enumerate(states):
        for row, steps in enumerate(rows):
            for t in range(len(steps)):
                if (g := next(pulled)) is not None:
                    y[t, d, row] = g
