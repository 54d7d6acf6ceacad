"""From a layer's activation and the slope at it to a map: one formula for each method.

A is the activation and g the derivative of the target to it, both [n, c, *spatial]; a map is
[n, 1, *spatial], rectified.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from candor.autodiff import Emitter

__all__ = ["FORMULAS", "Formula"]

Formula = Callable[[Emitter, str, str], str]
"""(op, A, g) -> map."""

# What pytorch-grad-cam adds to the two divisors, so that nothing is divided by zero.
_EPSILON_PLUS_PLUS = 1e-6
_EPSILON_X = 1e-7


def _spatial(op: Emitter, value: str) -> Sequence[int]:
    return range(2, op.graph.rank(value) or 0)


def _over_channels(op: Emitter, parts: str) -> str:
    return op.Relu(op.ReduceSum(parts, [1], keepdims=1))


def _weighed(op: Emitter, weights: str, activation: str) -> str:
    """sum_k w_k A_k, rectified: a product of matrices; weights are [n, c, 1...]."""
    positions = op.Shape(activation, start=2)
    row = op.Reshape(weights, [0, 1, -1])
    total = op.MatMul(row, op.Reshape(activation, [0, 0, -1]))
    extents = op.Concat(op.Shape(activation, start=0, end=1), [1], positions, axis=0)
    return op.Relu(op.Reshape(total, extents))


def grad_cam(op: Emitter, activation: str, slope: str) -> str:
    """sum_k mean(g_k) A_k. Source: Selvaraju et al. 2017, eq. 1-2, arXiv:1610.02391."""
    return _weighed(op, _mean(op, slope), activation)


def _mean(op: Emitter, slope: str) -> str:
    """The mean over the positions; what was spread over them is it already."""
    node = op.graph.producer(slope)
    if node is not None and node.op_type == "Expand":
        shape, spread = op.graph.shape(node.input[0]) or (), op.graph.shape(slope) or ()
        if len(shape) == len(spread) and shape[:2] == spread[:2] and set(shape[2:]) == {1}:
            return node.input[0]
    return op.ReduceMean(slope, _spatial(op, slope), keepdims=1)


def grad_cam_plus_plus(op: Emitter, activation: str, slope: str) -> str:
    """sum_k A_k sum(relu(g_k) g_k^2 / (2 g_k^2 + g_k^3 sum(A_k))).

    The second and third derivatives are powers of the first, as where the score passes through an
    exponential. Source: Chattopadhay et al. 2018, eq. 19 and 21, arXiv:1710.11063.
    """
    square = op.Mul(slope, slope)
    total = op.ReduceSum(activation, _spatial(op, slope), keepdims=1)
    divisor = op.Add(op.Mul(square, 2.0), op.Mul(op.Mul(square, slope), total))
    shares = op.Div(square, op.Add(divisor, _EPSILON_PLUS_PLUS))
    weights = op.ReduceSum(op.Mul(op.Relu(slope), shares), _spatial(op, slope), keepdims=1)
    return _weighed(op, weights, activation)


def hires_cam(op: Emitter, activation: str, slope: str) -> str:
    """sum_k g_k A_k, position by position. Source: Draelos and Carin 2020, arXiv:2011.08891."""
    return _over_channels(op, op.Mul(slope, activation))


def layer_cam(op: Emitter, activation: str, slope: str) -> str:
    """sum_k relu(g_k) A_k. Source: Jiang et al. 2021, eq. 4-6, IEEE TIP 30."""
    return _over_channels(op, op.Mul(op.Relu(slope), activation))


def xgrad_cam(op: Emitter, activation: str, slope: str) -> str:
    """sum_k A_k sum(g_k A_k) / sum(A_k). Source: Fu et al. 2020, eq. 8, arXiv:2008.02312."""
    axes = _spatial(op, slope)
    total = op.Add(op.ReduceSum(activation, axes, keepdims=1), _EPSILON_X)
    weights = op.ReduceSum(op.Div(op.Mul(slope, activation), total), axes, keepdims=1)
    return _weighed(op, weights, activation)


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "grad_cam": grad_cam,
        "grad_cam_plus_plus": grad_cam_plus_plus,
        "hires_cam": hires_cam,
        "layer_cam": layer_cam,
        "xgrad_cam": xgrad_cam,
    }
)
