"""Rules of activation functions; at a kink the derivative is that of torch."""

import math

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import unbroadcast
from candor.autodiff.rules.gates import below, gated, positive, times
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


# Piecewise linear


@vjp("Relu")
def relu(op: Emitter, at: Site) -> list[str]:
    return [gated(op, at, positive)]


@vjp("LeakyRelu")
def leaky_relu(op: Emitter, at: Site) -> list[str]:
    alpha = at.number("alpha", 0.01)
    return [op.Where(op.Greater(at.x, 0.0), at.g, op.Mul(at.g, alpha))]


@vjp("PRelu", operands=(0, 1))
def prelu(op: Emitter, at: Site) -> list[str]:
    x, slope = at.node.input
    scaled = op.Where(op.Greater(x, 0.0), at.g, op.Mul(at.g, slope))
    to_slope = op.Mul(at.g, op.Min(x, 0.0))
    return [scaled, unbroadcast(op, to_slope, slope, x)]


@vjp("ThresholdedRelu")
def thresholded_relu(op: Emitter, at: Site) -> list[str]:
    return [op.Where(op.Greater(at.x, at.number("alpha", 1.0)), at.g, 0.0)]


@vjp("Shrink")
def shrink(op: Emitter, at: Site) -> list[str]:
    return [op.Where(op.Greater(op.Abs(at.x), at.number("lambd", 0.5)), at.g, 0.0)]


@vjp("Clip", stops=[1, 2])
def clip(op: Emitter, at: Site) -> list[str]:
    """Pass what lies within the bounds; at a bound as torch.clamp, but for (0, 6) as ReLU6."""
    low, high = at.operand(1), at.operand(2)
    bounds = [at.constant(1), at.constant(2)]
    relu6 = [None if b is None else float(b.reshape(())) for b in bounds] == [0.0, 6.0]
    if relu6:
        return [gated(op, at, _between_0_and_6)]
    inside = []
    if low is not None:
        inside.append(op.GreaterOrEqual(at.x, low))
    if high is not None:
        inside.append(op.LessOrEqual(at.x, high))
    if not inside:
        return [at.g]
    gate = inside[0] if len(inside) == 1 else op.And(*inside)
    return [op.Where(gate, at.g, 0.0)]


def _between_0_and_6(op: Emitter, y: str) -> str:
    # The masks first: both are made of y, and so in the layout that y has.
    return op.Mul(positive(op, y), below(op, y, 6.0))


@vjp("HardSigmoid")
def hard_sigmoid(op: Emitter, at: Site) -> list[str]:
    gate = op.And(op.Greater(at.y, 0.0), op.Less(at.y, 1.0))
    return [op.Where(gate, op.Mul(at.g, at.number("alpha", 0.2)), 0.0)]


@vjp("HardSwish")
def hard_swish(op: Emitter, at: Site) -> list[str]:
    ramp = op.Add(op.Mul(at.x, 1 / 3), 0.5)
    upper = op.Where(op.Less(at.x, 3.0), ramp, 1.0)
    return [times(op, at, op.Where(op.Greater(at.x, -3.0), upper, 0.0))]


# Smooth


@vjp("Elu")
def elu(op: Emitter, at: Site) -> list[str]:
    slope = op.Add(at.y, at.number("alpha", 1.0))
    return [op.Mul(at.g, op.Where(op.Greater(at.x, 0.0), 1.0, slope))]


@vjp("Selu")
def selu(op: Emitter, at: Site) -> list[str]:
    alpha = at.number("alpha", 1.6732631921768188)
    gamma = at.number("gamma", 1.0507009873554805)
    slope = op.Add(at.y, alpha * gamma)
    return [op.Mul(at.g, op.Where(op.Greater(at.x, 0.0), gamma, slope))]


@vjp("Celu")
def celu(op: Emitter, at: Site) -> list[str]:
    alpha = at.number("alpha", 1.0)
    slope = op.Add(op.Mul(at.y, 1 / alpha), 1.0)
    return [op.Mul(at.g, op.Where(op.Greater(at.x, 0.0), 1.0, slope))]


@vjp("Mish")
def mish(op: Emitter, at: Site) -> list[str]:
    squashed = op.Tanh(op.Softplus(at.x))
    bend = op.Mul(op.Sub(1.0, op.Mul(squashed, squashed)), op.Sigmoid(at.x))
    return [op.Mul(at.g, op.Add(squashed, op.Mul(at.x, bend)))]


@vjp("Swish")
def swish(op: Emitter, at: Site) -> list[str]:
    alpha = at.number("alpha", 1.0)
    gate = op.Sigmoid(at.x if alpha == 1.0 else op.Mul(at.x, alpha))
    bend = op.Mul(op.Mul(at.y, alpha), op.Sub(1.0, gate))
    return [times(op, at, op.Add(gate, bend))]


@vjp("Gelu")
def gelu(op: Emitter, at: Site) -> list[str]:
    """Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, in the exact and the tanh form."""
    x = at.x
    square = op.Mul(x, x)
    if at.text("approximate", "none") == "tanh":
        k = math.sqrt(2 / math.pi)
        bent = op.Tanh(op.Mul(op.Mul(k, x), op.Add(1.0, op.Mul(0.044715, square))))
        inner = op.Mul(k, op.Add(1.0, op.Mul(3 * 0.044715, square)))
        tail = op.Mul(op.Mul(x, inner), op.Sub(1.0, op.Mul(bent, bent)))
        return [op.Mul(at.g, op.Mul(0.5, op.Add(op.Add(1.0, bent), tail)))]
    normal = op.Mul(0.5, op.Add(1.0, op.Erf(op.Mul(x, math.sqrt(0.5)))))
    density = op.Mul(1 / math.sqrt(2 * math.pi), op.Exp(op.Mul(-0.5, square)))
    return [op.Mul(at.g, op.Add(normal, op.Mul(x, density)))]
