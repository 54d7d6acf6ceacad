"""Cases of element-wise operators, products, reductions and normalisations."""

import numpy as np

from gradcheck.case import Case, case, distinct, ints, positive, x


def _elementwise() -> list[Case]:
    ordinary = (
        "Abs Atan Cos Cosh Erf Exp Identity Neg Relu Sigmoid Sin Sinh Softplus "
        "Softsign Tanh LeakyRelu Elu Selu Celu HardSwish Mish Gelu"
    ).split()
    return [
        *(case(op, x(3, 4)) for op in ordinary),
        *(case(op, positive(3, 4)) for op in ("Log", "Reciprocal", "Sqrt")),
        *(case(op, x(3, 4) / 5) for op in ("Acos", "Asin", "Tan")),
        *(
            case(op, x(2, 3, 4), positive(*shape), vary=(0, 1))
            for op in ("Add", "Sub", "Mul", "Div")
            for shape in ((2, 3, 4), (3, 1), (1,), ())
        ),
        case("Add", x(4), x(2, 3, 4), vary=(0, 1)),
        case("Pow", positive(3, 4), np.array(2.0)),
        case("Pow", positive(3, 4), np.array(-1.5), vary=(0, 1)),
        case("Pow", positive(3, 4), positive(4), vary=(0, 1)),
        case("Sum", x(3, 4), x(4), x(3, 1), vary=(0, 1, 2)),
        case("Mean", x(3, 4), x(4), x(3, 1), vary=(0, 1, 2)),
        case("Max", distinct(3, 4), np.array(0.23), distinct(4) + 0.03, vary=(0, 2)),
        case("Min", distinct(3, 4), distinct(3, 4).T.reshape(3, 4) + 0.03, vary=(0, 1)),
        case("Where", x(3, 4) > 0, x(3, 4), x(4), vary=(1, 2)),
        case("Cast", x(3, 4), to=11),
        case("CastLike", x(3, 4), np.array(1.0)),
        case("Dropout", x(3, 4)),
        case("LeakyRelu", x(3, 4), alpha=0.3),
        case("PRelu", x(2, 3, 4), positive(3, 1), vary=(0, 1)),
        case("ThresholdedRelu", x(3, 4), alpha=0.02),
        case("Clip", x(3, 4), np.array(-0.51), np.array(0.52)),
        case("Clip", x(3, 4), None, np.array(0.52)),
        case("Clip", x(3, 4) * 5, np.array(0.0), np.array(6.0)),
        case("Clip", x(3, 4)),
        case("HardSigmoid", x(3, 4) * 3, alpha=0.3, beta=0.4),
        case("HardSwish", x(3, 4) * 4),
        case("Shrink", x(3, 4), lambd=0.3, bias=0.2),
        case("Elu", x(3, 4), alpha=0.7),
        case("Celu", x(3, 4), alpha=2.0),
        case("Gelu", x(3, 4), approximate="tanh"),
        case("Swish", x(3, 4), alpha=1.3, opset=24),
    ]


_EINSUMS = [
    ("Ij,jK,Kl->Il", (2, 3), (3, 4), (4, 5)),
    ("bij,bjk,bk->bi", (2, 3, 4), (2, 4, 5), (2, 5)),
    ("ij,ij,ij->ij", (2, 3), (2, 3), (2, 3)),
    ("i,j,k,l->lkji", (2,), (3,), (4,), (2,)),
    ("ij,jk,->ik", (2, 3), (3, 2), ()),
    ("ij,kl,m->jl", (2, 3), (4, 5), (2,)),  # indices of one operand alone: i, k, m
    ("ij->j", (2, 3)),
    ("ij->", (2, 3)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("->", ()),
    ("ii->i", (3, 3)),
    ("ii->", (3, 3)),
    ("iji,jk,k->ik", (3, 2, 3), (2, 4), (4,)),
    ("iiijj,i->j", (2, 2, 2, 3, 3), (2,)),
    ("b...i,...ij,b->...bj", (2, 3, 4, 5), (3, 4, 5, 2), (2,)),
    ("...,...,...->...", (2, 3), (2, 3), (2, 3)),
    ("b...,b->b...", (2, 3, 4), (2,)),
    (" i j , j k , k ", (2, 3), (3, 4), (4,)),  # of no named result: i
    ("ba", (2, 3)),
    ("j...,ij", (2, 3, 4), (5, 2)),
    ("i,i", (3,), (3,)),
    ("ij,ij,kj->ik", (2, 3), (2, 1), (4, 3)),  # repeated along an axis
    ("ij,ij->i", (2, 3), (2, 1)),
    ("ij,ik,il->jkl", (2, 3), (1, 4), (2, 5)),
    ("ii,i->i", (3, 3), (1,)),
    (",bbj->", (), (1, 1, 2)),
]


def _linear() -> list[Case]:
    both = (0, 1)
    matmul = [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 4, 5)),
        ((2, 1, 3, 4), (3, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 3, 4), (2, 4, 5)),
    ]
    return [
        *(case("MatMul", x(*a), x(*b), vary=both) for a, b in matmul),
        *(
            case(
                "Gemm",
                x(*((4, 3) if p else (3, 4))),
                x(*((5, 4) if q else (4, 5))),
                x(*c),
                vary=(0, 1, 2),
                transA=p,
                transB=q,
                alpha=0.7,
                beta=1.3,
            )
            for p, q, c in ((0, 0, (5,)), (0, 1, (3, 5)), (1, 0, (3, 1)), (1, 1, (1,)))
        ),
        case("Gemm", x(3, 4), x(4, 5), vary=both),
        case("Einsum", x(2, 3, 4), x(2, 4, 5), vary=both, equation="bij,bjk->bki"),
        case("Einsum", x(3, 4), vary=(0,), equation="ij->ji"),
        *(
            case("Einsum", *(x(*s) for s in shapes), vary=tuple(range(len(shapes))), equation=e)
            for e, *shapes in _EINSUMS
        ),
    ]


def _reduce() -> list[Case]:
    sums = "ReduceSum ReduceMean ReduceL1 ReduceL2 ReduceLogSumExp ReduceSumSquare".split()
    return [
        *(
            case(op, x(2, 3, 4), *axes, keepdims=keep)
            for op in sums
            for axes, keep in (((ints(1, -1),), 0), ((ints(0),), 1), ((), 0))
        ),
        *(
            case(op, distinct(2, 3, 4), ints(1), keepdims=keep)
            for op in ("ReduceMax", "ReduceMin")
            for keep in (0, 1)
        ),
        *(
            case("ReduceProd", values, *axes, keepdims=keep)
            for values in (x(2, 3, 4), x(2, 3, 4) * (np.arange(24).reshape(2, 3, 4) % 5 > 0))
            for axes, keep in (((ints(1),), 0), ((ints(0, 2),), 1))
        ),
        case("ReduceProd", positive(2, 3), keepdims=0),
        case("ReduceLogSum", positive(2, 3, 4), ints(1), keepdims=0),
        case("ReduceMean", x(2, 3), ints(), noop_with_empty_axes=1),
    ]


def _normalize() -> list[Case]:
    image, c = x(2, 4, 3, 5), (positive(4), x(4))
    return [
        case("Softmax", x(3, 4)),
        case("Softmax", x(2, 3, 4), axis=1),
        case("LogSoftmax", x(3, 4), axis=-1),
        case("BatchNormalization", image, *c, x(4), positive(4), epsilon=1e-3),
        case("LayerNormalization", x(2, 3, 4), positive(4), x(4)),
        case("LayerNormalization", x(2, 3, 4), positive(3, 4), axis=1),
        case("InstanceNormalization", image, *c),
        case("GroupNormalization", image, *c, num_groups=2, stash_type=11),
        case("RMSNormalization", x(2, 3, 4), positive(4), opset=23),
        case("RMSNormalization", x(2, 3, 4), positive(3, 4), axis=1, opset=23),
        case("LpNormalization", x(3, 4), axis=1, p=2),
        case("LRN", image, size=3, alpha=0.5, beta=0.6, bias=1.5),
        case("LRN", image, size=5, alpha=0.5),
    ]


CASES = [*_elementwise(), *_linear(), *_reduce(), *_normalize()]
