"""Rules of reductions over axes."""

from collections.abc import Callable

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import count_ratio, expand
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []

_Slope = Callable[[Emitter, str, str], str]


def _axes(at: Site) -> list[int] | None:
    """Return the reduced axes; None if there are none, as noop_with_empty_axes may ask."""
    given = at.required(1, "axes").tolist() if at.operand(1) is not None else []
    if given:
        return [int(axis) for axis in given]
    return None if at.integer("noop_with_empty_axes", 0) else list(range(len(at.shape(0))))


def _kept(op: Emitter, at: Site, value: str, axes: list[int]) -> str:
    """Give a reduced value its axes of extent 1 back."""
    return value if at.integer("keepdims", 1) else op.Unsqueeze(value, axes)


@vjp("ReduceSum")
def reduce_sum(op: Emitter, at: Site) -> list[str]:
    axes = _axes(at)
    return [at.g if axes is None else expand(op, _kept(op, at, at.g, axes), at.x, axes)]


@vjp("ReduceMean")
def reduce_mean(op: Emitter, at: Site) -> list[str]:
    axes = _axes(at)
    if axes is None:
        return [at.g]
    share = op.Div(_kept(op, at, at.g, axes), count_ratio(op, at.x, at.y, axes))
    return [expand(op, share, at.x, axes)]


@vjp("ReduceMax", "ReduceMin")
def reduce_extremum(op: Emitter, at: Site) -> list[str]:
    """Share a cotangent evenly among equals, as torch.amax does."""
    axes = _axes(at)
    if axes is None:
        return [at.g]
    hits = op.Equal(at.x, _kept(op, at, at.y, axes))
    ones = op.Cast(hits, to=op.graph.dtype(at.g))
    share = op.Div(_kept(op, at, at.g, axes), op.ReduceSum(ones, axes, keepdims=1))
    return [op.Mul(ones, share)]


@vjp("ReduceProd")
def reduce_prod(op: Emitter, at: Site) -> list[str]:
    """Multiply by the product of the others, which one zero among them does not make 0 / 0."""
    axes = _axes(at)
    if axes is None:
        return [at.g]
    zero = op.Equal(at.x, 0.0)
    others = op.Where(zero, 1.0, at.x)
    count = op.Cast(zero, to=op.graph.dtype(at.x))
    left = op.Sub(op.ReduceSum(count, axes, keepdims=1), count)
    share = op.Div(op.ReduceProd(others, axes, keepdims=1), others)
    return [op.Mul(_kept(op, at, at.g, axes), op.Where(op.Equal(left, 0.0), share, 0.0))]


# The rest: cotangent times a slope in the operand x and the (kept) result y.

_SLOPES: dict[str, _Slope] = {
    "ReduceL1": lambda op, x, _: op.Sign(x),
    # 0 at the origin, where the norm has a kink.
    "ReduceL2": lambda op, x, y: op.Div(x, op.Where(op.Equal(y, 0.0), 1.0, y)),
    "ReduceLogSum": lambda op, _, y: op.Exp(op.Neg(y)),
    "ReduceLogSumExp": lambda op, x, y: op.Exp(op.Sub(x, y)),
    "ReduceSumSquare": lambda op, x, _: op.Mul(2.0, x),
}


def _enter_slope(op_type: str, slope: _Slope) -> None:
    @vjp(op_type)
    def rule(op: Emitter, at: Site) -> list[str]:
        axes = _axes(at)
        g = at.g if axes is None else _kept(op, at, at.g, axes)
        y = at.y if axes is None else _kept(op, at, at.y, axes)
        product = op.Mul(g, slope(op, at.x, y))
        return [product if axes is None else expand(op, product, at.x, axes)]


for _op_type, _slope in _SLOPES.items():
    _enter_slope(_op_type, _slope)
