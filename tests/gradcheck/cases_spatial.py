"""Cases of windows, and of operators that move elements."""

import numpy as np

from gradcheck.case import I64, Case, case, distinct, ints, x


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
        case("AveragePool", x(2, 1, 6, 4, 3), kernel_shape=[3, 1, 1], strides=[1, 1, 1]),
        case("LpPool", image, kernel_shape=[3, 2], strides=[2, 2], p=2),
        case("LpPool", image, kernel_shape=[3, 3], strides=[2, 2], p=3, pads=[1, 1, 1, 1]),
        case("LpPool", image, kernel_shape=[2, 2], p=1),
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


def _axial() -> list[Case]:
    image = x(1, 2, 3, 4)
    doubled, grown = np.array([1, 1, 2, 1.5], np.float32), ints(1, 2, 5, 3)
    half = "pytorch_half_pixel"
    return [
        case("Resize", image, None, doubled, mode="linear"),
        case("Resize", image, None, doubled, mode="nearest", nearest_mode="floor"),
        case(
            "Resize", image, None, None, grown, mode="linear", coordinate_transformation_mode=half
        ),
        case(
            "Resize",
            image,
            None,
            None,
            grown,
            mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
        case("Resize", image, None, doubled, mode="cubic", cubic_coeff_a=-0.75),
        case("Resize", image, None, doubled[2:3], mode="linear", axes=[2]),
        case("Resize", x(2, 3, 4), None, None, ints(2, 3, 7), mode="linear"),
        *(
            case("Pad", x(4, 3), ints(*pads), mode=mode, kernels="runtime")
            for mode in ("edge", "reflect", "wrap")
            for pads in ((1, 0, 2, 1), (0, 2, 0, 1))
        ),
        case("Pad", x(4, 3, 2), ints(2, 1), None, ints(-2), mode="reflect", kernels="runtime"),
        case("Pad", x(4, 3, 2), ints(2, 1), None, ints(0), mode="edge", kernels="runtime"),
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


def _strided() -> list[Case]:
    """Convolutions that are undone phase by phase, or by blocks of a picture."""
    picture, image = x(2, 3, 11, 13), x(2, 4, 9, 8)
    return [
        case("Conv", picture, x(6, 3, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3]),
        case("Conv", picture, x(6, 3, 3, 3), strides=[2, 2]),
        case("Conv", picture, x(6, 3, 4, 4), strides=[4, 4]),
        case("Conv", picture, x(6, 3, 5, 5), strides=[3, 3], pads=[0, 2, 4, 1]),
        case("Conv", picture, x(5, 3, 3, 5), strides=[2, 3], pads=[1, 0, 2, 2]),
        case("Conv", x(1, 8, 9, 8), x(6, 8, 3, 3), strides=[2, 2], pads=[2, 2, 2, 2]),
        case("Conv", image, x(4, 1, 5, 5), strides=[2, 2], pads=[2, 2, 2, 2], group=4),
        case("Conv", image, x(8, 2, 3, 3), strides=[2, 1], pads=[0, 1, 1, 1], group=2),
    ]


CASES = [*_conv(), *_strided(), *_pooling(), *_shape(), *_axial(), *_indexing()]
