"""What operators mean, in operators that have float64 kernels; None where that is not built."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.polynomial import Chebyshev
from onnx import NodeProto

from candor.autodiff import Emitter
from candor.runtime.exact.windows import average_pool, conv, conv_transpose

__all__ = ["WRITTEN_OUT"]

_Written = Callable[[Emitter, NodeProto], list[str] | None]


def _spatial(op: Emitter, node: NodeProto) -> list[int]:
    return list(range(2, op.graph.rank(node.input[0]) or 2))


def _global_average_pool(op: Emitter, node: NodeProto) -> list[str]:
    return [op.ReduceMean(node.input[0], _spatial(op, node), keepdims=1)]


def _global_max_pool(op: Emitter, node: NodeProto) -> list[str]:
    return [op.ReduceMax(node.input[0], _spatial(op, node), keepdims=1)]


def _mean(op: Emitter, node: NodeProto) -> list[str]:
    return [op.Div(op.Sum(*node.input), float(len(node.input)))]


def _sinh(op: Emitter, node: NodeProto) -> list[str]:
    grown = op.Exp(node.input[0])
    return [op.Mul(0.5, op.Sub(grown, op.Reciprocal(grown)))]


def _cosh(op: Emitter, node: NodeProto) -> list[str]:
    grown = op.Exp(node.input[0])
    return [op.Mul(0.5, op.Add(grown, op.Reciprocal(grown)))]


def _tan(op: Emitter, node: NodeProto) -> list[str]:
    return [op.Div(op.Sin(node.input[0]), op.Cos(node.input[0]))]


def _instance_normalization(op: Emitter, node: NodeProto) -> list[str]:
    x, scale, shift = node.input
    axes = _spatial(op, node)
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    unit = op.Div(centred, op.Sqrt(op.Add(variance, float(epsilon))))
    column = [-1, *[1] * len(axes)]
    return [op.Add(op.Mul(unit, op.Reshape(scale, column)), op.Reshape(shift, column))]


def _celu(op: Emitter, node: NodeProto) -> list[str]:
    x = node.input[0]
    alpha = float(next((a.f for a in node.attribute if a.name == "alpha"), 1.0))
    bent = op.Mul(op.Sub(op.Exp(op.Div(op.Min(x, 0.0), alpha)), 1.0), alpha)
    return [op.Add(op.Max(x, 0.0), bent)]


def _gelu(op: Emitter, node: NodeProto) -> list[str]:
    """Source: Hendrycks and Gimpel 2016, arXiv:1606.08415."""
    x = node.input[0]
    if any(a.name == "approximate" and a.s == b"tanh" for a in node.attribute):
        cube = op.Mul(op.Mul(x, x), op.Mul(x, 0.044715))
        gate = op.Tanh(op.Mul(op.Add(x, cube), math.sqrt(2 / math.pi)))
    else:
        gate = _erf_of(op, op.Mul(x, math.sqrt(0.5)))
    return [op.Mul(op.Mul(x, 0.5), op.Add(gate, 1.0))]


def _scaler(op: Emitter, node: NodeProto) -> list[str]:
    """(x - offset) * scale of ai.onnx.ml, with one of each for a feature or for all."""
    given = {a.name: np.array(a.floats, np.float64) for a in node.attribute}
    centred = op.Sub(node.input[0], given.get("offset", np.zeros(1)))
    return [op.Mul(centred, given.get("scale", np.ones(1)))]


def _erf(op: Emitter, node: NodeProto) -> list[str]:
    return [_erf_of(op, node.input[0])]


def _erf_of(op: Emitter, x: str) -> str:
    """sign(x) (1 - t exp(-x^2 + p(t))) with t = 2 / (2 + |x|), p a Chebyshev series.

    Source of the form: Press et al. 2007, Numerical Recipes, section 6.2.2.
    """
    size = op.Min(op.Abs(x), _ERF_IS_ONE)
    t = op.Div(2.0, op.Add(size, 2.0))
    u = op.Sub(op.Mul(t, 2 * _ERF_SCALE), 2 * _ERF_SHIFT)  # twice the series' own variable
    last = next_to_last = op.Mul(u, 0.0)
    for number in _ERF_SERIES[:0:-1]:
        summed = op.Add(op.Sub(op.Mul(u, last), next_to_last), float(number))
        last, next_to_last = summed, last
    half = op.Mul(u, 0.5)
    series = op.Add(op.Sub(op.Mul(half, last), next_to_last), float(_ERF_SERIES[0]))
    rest = op.Mul(t, op.Exp(op.Sub(series, op.Mul(size, size))))
    return op.Mul(op.Sign(x), op.Sub(1.0, rest))


_ERF_IS_ONE = 6.0  # 1 - erf(6) is 2e-17
_ERF_LEAST = 2 / (2 + _ERF_IS_ONE)  # the least t; the greatest is 1
_ERF_SCALE = 2 / (1 - _ERF_LEAST)
_ERF_SHIFT = (1 + _ERF_LEAST) / (1 - _ERF_LEAST)


def _erf_exponent(ts: np.ndarray) -> np.ndarray:
    """p of t: log((1 - erf(x)) / t) + x^2."""
    sizes = 2 / ts - 2
    rests = np.array([math.erfc(size) for size in sizes])
    exponent: np.ndarray = np.log(rests / ts) + sizes * sizes
    return exponent


_ERF_SERIES = Chebyshev.interpolate(_erf_exponent, 30, domain=(_ERF_LEAST, 1.0)).coef


WRITTEN_OUT: Mapping[str, _Written] = MappingProxyType(
    {
        "AveragePool": average_pool,
        "Celu": _celu,
        "Conv": conv,
        "ConvTranspose": conv_transpose,
        "Cosh": _cosh,
        "Erf": _erf,
        "Gelu": _gelu,
        "GlobalAveragePool": _global_average_pool,
        "GlobalMaxPool": _global_max_pool,
        "InstanceNormalization": _instance_normalization,
        "Mean": _mean,
        "Scaler": _scaler,
        "Sinh": _sinh,
        "Tan": _tan,
    }
)
