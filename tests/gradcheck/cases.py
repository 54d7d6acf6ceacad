"""One operator per case: its operands, its attributes, and which operands are varied."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["CASES", "Case"]

_RNG = np.random.default_rng(7)
I64 = np.int64


@dataclass(frozen=True)
class Case:
    """A node; operands that are not varied are initialisers.

    `kernels` is where it is run: 'reference' (onnx's own, in float64), or 'runtime' (ONNX Runtime)
    where that has float64 kernels and the reference is wrong or missing.
    """

    op: str
    operands: list[np.ndarray | None]
    vary: tuple[int, ...]
    attributes: dict[str, object] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 21
    kernels: str = "reference"

    def __str__(self) -> str:
        shown = [f"{k}={v}" for k, v in self.attributes.items()]
        shapes = ["x".join(map(str, a.shape)) or "()" for a in self.operands if a is not None]
        return ",".join([self.op, *shapes, *shown]).replace(" ", "")


def x(*shape: int) -> np.ndarray:
    """Values of both signs, none within 0.05 of a kink at zero."""
    draw = _RNG.standard_normal(shape)
    return draw + 0.05 * np.sign(draw)


def positive(*shape: int) -> np.ndarray:
    return _RNG.uniform(0.5, 2.0, shape)


def distinct(*shape: int) -> np.ndarray:
    """Values far enough apart that no step of the check changes their order."""
    return _RNG.permutation(int(np.prod(shape))).reshape(shape) * 0.1 - 1.0


def ints(*values: int) -> np.ndarray:
    return np.array(values, I64)


def case(
    op: str,
    *operands: np.ndarray | None,
    vary: tuple[int, ...] = (0,),
    outputs: int = 1,
    opset: int = 21,
    kernels: str = "reference",
    **attributes: object,
) -> Case:
    return Case(op, list(operands), vary, attributes, outputs, opset, kernels)


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
        case("Where", _RNG.random((3, 4)) > 0.5, x(3, 4), x(4), vary=(1, 2)),
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
        case("Elu", x(3, 4), alpha=0.7),
        case("Celu", x(3, 4), alpha=2.0),
        case("Gelu", x(3, 4), approximate="tanh"),
        case("Swish", x(3, 4), alpha=1.3, opset=24),
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
    ]


def _conv() -> list[Case]:
    image, weight = x(2, 4, 8, 7), x(6, 4, 3, 3)
    split = x(6, 2, 3, 3)
    return [
        case("Conv", image, weight),
        case("Conv", image, weight, x(6), pads=[1, 1, 1, 1]),
        case("Conv", image, weight, strides=[2, 2], pads=[1, 1, 1, 1]),
        case("Conv", image, weight, strides=[3, 2], pads=[0, 2, 1, 0]),
        case("Conv", image, split, group=2, dilations=[2, 1], pads=[2, 1, 2, 1]),
        case("Conv", image, split, group=2, strides=[2, 3]),
        case("Conv", image, x(4, 1, 5, 5), group=4, pads=[2, 2, 2, 2]),
        case("Conv", image, x(6, 4, 1, 1)),
        case("Conv", image, x(6, 4, 1, 1), strides=[2, 2]),
        case("Conv", image, x(6, 4, 1, 1), pads=[1, 0, 0, 1]),
        case("Conv", image, weight, auto_pad="SAME_UPPER", strides=[2, 2]),
        case("Conv", image, weight, auto_pad="SAME_LOWER", strides=[2, 2]),
        case("Conv", x(2, 3, 9), x(4, 3, 3), strides=[2], pads=[1, 0]),
        case("Conv", x(2, 3, 9), x(4, 3, 3), dilations=[2]),
        case("Conv", x(1, 2, 4, 5, 4), x(3, 2, 2, 3, 2), strides=[1, 2, 1]),
        case(
            "ConvTranspose",
            x(2, 4, 4, 3),
            x(4, 3, 3, 3),
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            output_padding=[1, 0],
        ),
        case("ConvTranspose", x(2, 4, 4), x(4, 2, 3), group=2),
    ]


def _pooling() -> list[Case]:
    image, ranks = x(2, 3, 8, 7), distinct(2, 3, 8, 7)
    average = [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        {"kernel_shape": [3, 2], "pads": [0, 1, 1, 0]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    ]
    largest = [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 2], "strides": [1, 2], "dilations": [2, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ]
    return [
        *(case("AveragePool", image, **options) for options in average),
        *(case("MaxPool", ranks, kernels="runtime", **options) for options in largest),
        case("AveragePool", x(2, 3, 9), kernel_shape=[3], strides=[3]),
        case("MaxPool", distinct(2, 3, 9), kernel_shape=[3], strides=[2], kernels="runtime"),
        case("GlobalAveragePool", image),
        case("GlobalMaxPool", ranks),
    ]


def _shape() -> list[Case]:
    return [
        case("Reshape", x(2, 3, 4), ints(-1, 4)),
        case("Flatten", x(2, 3, 4), axis=1),
        case("Squeeze", x(2, 1, 4), ints(1)),
        case("Unsqueeze", x(2, 4), ints(0, -1)),
        case("Transpose", x(2, 3, 4), perm=[1, 2, 0]),
        case("Transpose", x(2, 3, 4)),
        case("Expand", x(3, 1), ints(2, 3, 4)),
        case("Tile", x(2, 3), ints(2, 3)),
        case("Concat", x(2, 3), x(2, 1), x(2, 4), vary=(0, 1, 2), axis=-1),
        case("Concat", x(2, 3), x(4, 3), vary=(0, 1), axis=0),
        case("Split", x(2, 7), ints(3, 4), axis=1, outputs=2),
        case("Split", x(6, 2), num_outputs=3, outputs=3),
        case("Pad", x(2, 3), ints(1, 0, 2, 1), kernels="runtime"),
        case("Pad", x(2, 3), ints(2, 1), np.array(0.5), ints(-1), kernels="runtime"),
        case("Pad", x(4, 3), ints(-1, 2, 1, -1), kernels="runtime"),
        case("DepthToSpace", x(2, 8, 2, 3), blocksize=2, mode="DCR"),
        case("DepthToSpace", x(2, 8, 2, 3), blocksize=2, mode="CRD"),
        case("SpaceToDepth", x(2, 2, 4, 6), blocksize=2, kernels="runtime"),
        case("CumSum", x(2, 4), np.array(1, I64)),
        case("CumSum", x(2, 4), np.array(0, I64), exclusive=1, reverse=1),
    ]


def _indexing() -> list[Case]:
    picks = np.array([[0, 2], [2, -1]], I64)
    return [
        case("Slice", x(4, 5), ints(1), ints(3), ints(0)),
        case("Slice", x(4, 5), ints(-3, 0), ints(9, -1), ints(1, 0)),
        case("Slice", x(4, 5), ints(-1, 1), ints(-9, 5), ints(0, 1), ints(-1, 2)),
        case("Slice", x(4, 5), ints(0, 1), ints(3, 4)),
        case("Gather", x(4, 5), picks, axis=0),
        case("Gather", x(2, 4, 5), picks, axis=1),
        case("Gather", x(4, 5), np.array(-1, I64), axis=1),
        case("Gather", x(4, 5), ints(2), axis=0),
        case("Gather", x(4), ints(2, 1, 2), axis=0),
        case("GatherElements", x(3, 4), picks, axis=1, kernels="runtime"),
        case("GatherND", x(3, 4), np.array([[0, 1], [2, 2], [0, 1]], I64)),
        case("GatherND", x(3, 4), np.array([[0], [2]], I64)),
        case(
            "ScatterElements",
            x(3, 4),
            np.array([[0, 2], [1, 3]], I64),
            x(2, 2),
            vary=(0, 2),
            axis=1,
            kernels="runtime",
        ),
        case(
            "ScatterElements",
            x(3, 4),
            picks,
            x(2, 2),
            vary=(0, 2),
            axis=1,
            reduction="add",
            kernels="runtime",
        ),
        case("ScatterND", x(3, 4), np.array([[0], [2]], I64), x(2, 4), vary=(0, 2)),
        case(
            "ScatterND", x(3, 4), np.array([[0], [0]], I64), x(2, 4), vary=(0, 2), reduction="add"
        ),
        case("TopK", distinct(3, 5), ints(2), axis=1, outputs=2),
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
        case("LpNormalization", x(3, 4), axis=1, p=2),
        case("LRN", image, size=3, alpha=0.5, beta=0.6, bias=1.5),
        case("LRN", image, size=2, alpha=0.5),
    ]


CASES = [
    *_elementwise(),
    *_linear(),
    *_conv(),
    *_pooling(),
    *_shape(),
    *_indexing(),
    *_reduce(),
    *_normalize(),
]
