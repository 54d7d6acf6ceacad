"""Gates of recurrent cells: an activation of a clipped sum, and factors times its slope.

The activations, what their parameters are if not given, and which of them take which parameter
are those of ONNX Runtime's kernels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter

__all__ = ["ACTIVATIONS", "Activation", "Gate", "activations", "gate", "slope", "weigh"]


@dataclass(frozen=True, slots=True)
class Activation:
    """A function with its parameters; `name` is a key of ACTIVATIONS."""

    name: str
    alpha: float
    beta: float


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate of all steps: the sum before its activation, clipped; its value; where it is free.

    `free` tells for each element whether the clip left it alone, None if there is no clip.
    """

    x: str
    y: str
    activation: Activation
    free: str | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """An activation f(x; alpha, beta) and its slope; None is a parameter that it has not."""

    value: Callable[[Emitter, str, Activation], str]
    slope: Callable[[Emitter, Gate], str]
    alpha: float | None = None
    beta: float | None = None


def activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """Hand the parameters out, in order, to those activations that take them."""
    more_alphas, more_betas = iter(alphas), iter(betas)
    found = []
    for name in names:
        alpha = _parameter(ACTIVATIONS[name].alpha, more_alphas)
        found.append(Activation(name, alpha, _parameter(ACTIVATIONS[name].beta, more_betas)))
    return found


def _parameter(default: float | None, given: Iterator[float]) -> float:
    return 0.0 if default is None else next(given, default)


def gate(op: Emitter, x: str, activation: Activation, clip: float | None) -> Gate:
    """Activate a sum."""
    free = None
    if clip is not None:
        free = op.LessOrEqual(op.Abs(x), clip)
        x = op.Max(op.Min(x, clip), -clip)
    return Gate(x, ACTIVATIONS[activation.name].value(op, x, activation), activation, free)


def weigh(op: Emitter, gate: Gate, factor: str, product: str | None = None) -> str:
    """Return a factor times the gate's slope; `product`, if known, is factor times its value."""
    if gate.activation.name in _BY_PRODUCT:
        product = op.Mul(factor, gate.y) if product is None else product
        weighed = _BY_PRODUCT[gate.activation.name](op, factor, product, gate.y)
    else:
        weighed = op.Mul(factor, ACTIVATIONS[gate.activation.name].slope(op, gate))
    return weighed if gate.free is None else op.Where(gate.free, weighed, 0.0)


def slope(op: Emitter, gate: Gate) -> str:
    """Return the gate's slope."""
    found = ACTIVATIONS[gate.activation.name].slope(op, gate)
    return found if gate.free is None else op.Where(gate.free, found, 0.0)


# The slopes of the usual two in terms of their values: two operators for factor times slope.
_BY_PRODUCT: Final[dict[str, Callable[[Emitter, str, str, str], str]]] = {
    "Sigmoid": lambda op, _, product, y: op.Mul(product, op.Sub(1.0, y)),
    "Tanh": lambda op, factor, product, y: op.Sub(factor, op.Mul(product, y)),
}


def _scaled_slope(op: Emitter, g: Gate) -> str:
    bent = op.Tanh(op.Mul(g.x, g.activation.beta))
    return op.Mul(op.Sub(1.0, op.Mul(bent, bent)), g.activation.alpha * g.activation.beta)


def _softsign_slope(op: Emitter, g: Gate) -> str:
    root = op.Reciprocal(op.Add(op.Abs(g.x), 1.0))
    return op.Mul(root, root)


def _hard_slope(op: Emitter, g: Gate) -> str:
    inside = op.And(op.Greater(g.y, 0.0), op.Less(g.y, 1.0))
    return op.Mul(_number(op, inside, g), g.activation.alpha)


def _leaky_slope(op: Emitter, g: Gate, below: str) -> str:
    return op.Where(op.GreaterOrEqual(g.x, 0.0), _constant(op, g, 1.0), below)


def _number(op: Emitter, condition: str, g: Gate) -> str:
    return op.Cast(condition, to=op.graph.dtype(g.x) or TensorProto.FLOAT)


def _constant(op: Emitter, g: Gate, number: float) -> str:
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(g.x) or TensorProto.FLOAT)
    return op.constant(np.full((), number, dtype))


ACTIVATIONS: Final[dict[str, _Kind]] = {
    "Affine": _Kind(
        lambda op, x, a: op.Add(op.Mul(x, a.alpha), a.beta),
        lambda op, g: op.Expand(_constant(op, g, g.activation.alpha), op.Shape(g.x)),
        alpha=0.0,
        beta=0.0,
    ),
    "Elu": _Kind(
        lambda op, x, a: op.Elu(x, alpha=a.alpha),
        lambda op, g: _leaky_slope(op, g, op.Add(g.y, g.activation.alpha)),
        alpha=1.0,
    ),
    "HardSigmoid": _Kind(
        lambda op, x, a: op.HardSigmoid(x, alpha=a.alpha, beta=a.beta),
        _hard_slope,
        alpha=0.2,
        beta=0.5,
    ),
    "LeakyRelu": _Kind(
        lambda op, x, a: op.LeakyRelu(x, alpha=a.alpha),
        lambda op, g: _leaky_slope(op, g, _constant(op, g, g.activation.alpha)),
        alpha=0.01,
    ),
    "Relu": _Kind(lambda op, x, _: op.Relu(x), lambda op, g: op.Sign(g.y)),
    "ScaledTanh": _Kind(
        lambda op, x, a: op.Mul(op.Tanh(op.Mul(x, a.beta)), a.alpha),
        _scaled_slope,
        alpha=0.0,
        beta=0.0,
    ),
    "Sigmoid": _Kind(lambda op, x, _: op.Sigmoid(x), lambda op, g: op.Mul(g.y, op.Sub(1.0, g.y))),
    "Softplus": _Kind(lambda op, x, _: op.Softplus(x), lambda op, g: op.Sigmoid(g.x)),
    "Softsign": _Kind(lambda op, x, _: op.Softsign(x), _softsign_slope),
    "Tanh": _Kind(lambda op, x, _: op.Tanh(x), lambda op, g: op.Sub(1.0, op.Mul(g.y, g.y))),
    "ThresholdedRelu": _Kind(
        lambda op, x, a: op.Where(op.Greater(x, a.alpha), x, 0.0),
        lambda op, g: _number(op, op.Greater(g.x, g.activation.alpha), g),
        alpha=0.0,
    ),
}
