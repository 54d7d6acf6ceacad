"""Rules of matrix products."""

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import reshape_like, unbroadcast
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


@vjp("Gemm", operands=(0, 1, 2))
def gemm(op: Emitter, at: Site) -> list[str | None]:
    """Y = alpha A' B' + beta C, where ' transposes if the attribute says so."""
    a, b = at.node.input[:2]
    flip_a, flip_b = at.integer("transA", 0), at.integer("transB", 0)
    alpha, beta = at.number("alpha", 1.0), at.number("beta", 1.0)
    g, c = at.g, at.operand(2)
    to_a = to_b = to_c = None
    if 0 in at.wanted and flip_a:
        to_a = op.Gemm(b, g, transA=flip_b, transB=1, alpha=alpha)
    elif 0 in at.wanted:
        to_a = op.Gemm(g, b, transB=1 - flip_b, alpha=alpha)
    if 1 in at.wanted and flip_b:
        to_b = op.Gemm(g, a, transA=1, transB=flip_a, alpha=alpha)
    elif 1 in at.wanted:
        to_b = op.Gemm(a, g, transA=1 - flip_a, alpha=alpha)
    if 2 in at.wanted and c is not None:
        to_c = unbroadcast(op, g if beta == 1.0 else op.Mul(g, beta), c)
    return [to_a, to_b, to_c]


@vjp("MatMul", operands=(0, 1))
def matmul(op: Emitter, at: Site) -> list[str | None]:
    a, b = at.node.input
    rank_a, rank_b = len(at.shape(0)), len(at.shape(1))
    # A vector is a matrix with one row (on the left) or one column (on the right).
    row = op.Unsqueeze(a, [0]) if rank_a == 1 else a
    column = op.Unsqueeze(b, [1]) if rank_b == 1 else b
    g = op.Unsqueeze(at.g, [-1]) if rank_b == 1 else at.g
    g = op.Unsqueeze(g, [-2]) if rank_a == 1 else g
    to_a = to_b = None
    if 0 in at.wanted:
        to_a = op.MatMul(g, _transposed(op, column, max(rank_b, 2)))
        to_a = reshape_like(op, to_a, a) if rank_a == 1 and rank_b <= 2 else to_a
        to_a = _settle(op, to_a, a, (rank_a, rank_b))
    if 1 in at.wanted:
        to_b = op.MatMul(_transposed(op, row, max(rank_a, 2)), g)
        to_b = reshape_like(op, to_b, b) if rank_b == 1 and rank_a <= 2 else to_b
        to_b = _settle(op, to_b, b, (rank_b, rank_a))
    return [to_a, to_b]


def _settle(op: Emitter, cotangent: str, like: str, ranks: tuple[int, int]) -> str:
    """Sum over the batch axes along which an operand was repeated."""
    own, other = ranks
    if own == 1 and other > 2:
        matrices = op.ReduceSum(cotangent, list(range(other - 2)), keepdims=0)
        return reshape_like(op, matrices, like)
    return cotangent if own == 1 or other <= 2 else unbroadcast(op, cotangent, like)


def _transposed(op: Emitter, value: str, rank: int) -> str:
    axes = [*range(rank - 2), rank - 1, rank - 2]
    return op.Transpose(value, perm=axes)
