"""Rules of normalisations and softmax, in inference."""

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import reshape_like
from candor.autodiff.rules.gates import scaled
from candor.autodiff.rules.maxima import before_pool
from candor.autodiff.rules.table import Site, vjp
from candor.autodiff.rules.weave import each_part

__all__: list[str] = []


@vjp("Softmax")
def softmax(op: Emitter, at: Site) -> list[str]:
    axis = at.integer("axis", -1)
    weighted = op.Mul(at.g, at.y)
    return [op.Sub(weighted, op.Mul(at.y, op.ReduceSum(weighted, [axis], keepdims=1)))]


@vjp("LogSoftmax")
def log_softmax(op: Emitter, at: Site) -> list[str]:
    axis = at.integer("axis", -1)
    return [op.Sub(at.g, op.Mul(op.Exp(at.y), op.ReduceSum(at.g, [axis], keepdims=1)))]


@vjp("BatchNormalization")
def batch_normalization(op: Emitter, at: Site) -> list[str]:
    if at.integer("training_mode", 0):
        raise at.refusal("it is in training mode, where the batch's own statistics count")
    _, scale, _, _, variance = at.node.input
    epsilon = at.number("epsilon", 1e-5)
    early = before_pool(op, at, lambda g: scaled(op, g, scale, variance, epsilon))
    early = early or each_part(op, at, lambda part, _: scaled(op, part, scale, variance, epsilon))
    return [early or scaled(op, at.g, scale, variance, epsilon)]


@vjp("LayerNormalization")
def layer_normalization(op: Emitter, at: Site) -> list[str]:
    """Source: Ba et al. 2016, arXiv:1607.06450; the derivative is that of a z-score."""
    rank = len(at.shape(0))
    axis = at.integer("axis", -1) % rank
    axes = list(range(axis, rank))
    g = op.Mul(at.g, at.node.input[1])
    return [_z_score(op, g, at.x, axes, at.number("epsilon", 1e-5))]


@vjp("InstanceNormalization")
def instance_normalization(op: Emitter, at: Site) -> list[str]:
    rank = len(at.shape(0))
    scale = op.Reshape(at.node.input[1], [-1, *(1,) * (rank - 2)])
    g = op.Mul(at.g, scale)
    return [_z_score(op, g, at.x, list(range(2, rank)), at.number("epsilon", 1e-5))]


@vjp("MeanVarianceNormalization")
def mean_variance_normalization(op: Emitter, at: Site) -> list[str]:
    """A z-score whose deviation has 1e-9 added, which matters to constants alone."""
    return [_z_score(op, at.g, at.x, list(at.integers("axes", (0, 2, 3))), 1e-18)]


@vjp("GroupNormalization")
def group_normalization(op: Emitter, at: Site) -> list[str]:
    """Source: Wu and He 2018, arXiv:1803.08494."""
    rank = len(at.shape(0))
    scale = op.Reshape(at.node.input[1], [-1, *(1,) * (rank - 2)])
    grouped = [0, at.integer("num_groups", 1), -1]
    g, x = op.Reshape(op.Mul(at.g, scale), grouped), op.Reshape(at.x, grouped)
    return [reshape_like(op, _z_score(op, g, x, [2], at.number("epsilon", 1e-5)), at.x)]


@vjp("RMSNormalization")
def rms_normalization(op: Emitter, at: Site) -> list[str]:
    """Source: Zhang and Sennrich 2019, arXiv:1910.07467; a z-score without the mean."""
    rank = len(at.shape(0))
    axes = list(range(at.integer("axis", -1) % rank, rank))
    level = op.ReduceMean(op.Mul(at.x, at.x), axes, keepdims=1)
    rate = op.Reciprocal(op.Sqrt(op.Add(level, at.number("epsilon", 1e-5))))
    z, g = op.Mul(at.x, rate), op.Mul(at.g, at.node.input[1])
    slope = op.ReduceMean(op.Mul(g, z), axes, keepdims=1)
    return [op.Mul(rate, op.Sub(g, op.Mul(z, slope)))]


def _z_score(op: Emitter, g: str, x: str, axes: list[int], epsilon: float) -> str:
    """Differentiate z = (x - mean) / sqrt(variance + epsilon) over some axes."""
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    rate = op.Reciprocal(op.Sqrt(op.Add(variance, epsilon)))
    z = op.Mul(centred, rate)
    level = op.Sub(g, op.ReduceMean(g, axes, keepdims=1))
    slope = op.ReduceMean(op.Mul(g, z), axes, keepdims=1)
    return op.Mul(rate, op.Sub(level, op.Mul(z, slope)))


@vjp("LpNormalization")
def lp_normalization(op: Emitter, at: Site) -> list[str]:
    axis, p = at.integer("axis", -1), at.integer("p", 2)
    if p != 2:
        raise at.refusal("only the L2 norm is built")
    norm = op.ReduceL2(at.x, [axis], keepdims=1)
    along = op.ReduceSum(op.Mul(at.g, at.y), [axis], keepdims=1)
    return [op.Div(op.Sub(at.g, op.Mul(at.y, along)), norm)]


@vjp("LRN")
def lrn(op: Emitter, at: Site) -> list[str]:
    """Source: Krizhevsky et al. 2012, section 3.3; the window slides over the channels."""
    size, beta = at.integer("size", 1), at.number("beta", 0.75)
    alpha, bias = at.number("alpha", 1e-4), at.number("bias", 1.0)
    before = (size - 1) // 2
    after = size - 1 - before
    level = op.Add(op.Mul(_channel_mean(op, op.Mul(at.x, at.x), before, after), alpha), bias)
    direct = op.Mul(at.g, op.Pow(level, -beta))
    # An input counts in the windows around it, which lie the other way round.
    shared = op.Mul(op.Mul(direct, at.x), op.Reciprocal(level))
    cross = op.Mul(op.Mul(at.x, _channel_mean(op, shared, after, before)), -2 * alpha * beta)
    return [op.Add(direct, cross)]


def _channel_mean(op: Emitter, value: str, before: int, after: int) -> str:
    """Average over a window of channels, zeros beyond the ends included."""
    size = before + after + 1
    planes = op.Unsqueeze(op.Reshape(value, op.Concat(op.Shape(value, end=2), [-1], axis=0)), [1])
    padded = op.Pad(planes, [before, after], None, [2])
    return reshape_like(op, op.AveragePool(padded, kernel_shape=[size, 1]), value)
