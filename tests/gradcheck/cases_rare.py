"""Cases of operators that few classifiers contain."""

import numpy as np

from gradcheck.case import I64, Case, case, ints, positive, x


def _pointwise() -> list[Case]:
    return [
        case("Acosh", positive(3, 4) + 1, kernels="any"),
        case("Asinh", x(3, 4)),
        case("Atanh", x(3, 4) / 5),
        case("Mod", 0.3 + np.arange(12).reshape(3, 4) % 5, np.array(2.0), fmod=1),
        case("Mod", 0.3 - np.arange(6).reshape(2, 3), np.array([2.0, 3, 7]), vary=(0, 1), fmod=1),
        case("GlobalLpPool", x(2, 3, 4, 5), kernels="any"),
        case("GlobalLpPool", x(2, 3, 4), p=3),
        case("GlobalLpPool", x(2, 3, 4), p=1),
        case("MeanVarianceNormalization", x(2, 3, 4, 5)),
        case("MeanVarianceNormalization", x(2, 3, 4), axes=[1]),
    ]


def _moving() -> list[Case]:
    cosine, sine = np.cos(x(8, 2)), np.sin(x(8, 2))
    return [
        case("Trilu", x(2, 4, 3)),
        case("Trilu", x(4, 5), np.array(-1, I64), upper=0),
        case("ReverseSequence", x(4, 3, 2), ints(1, 4, 2)),
        case("ReverseSequence", x(3, 4), ints(2, 4, 1), batch_axis=0, time_axis=1),
        case("Compress", x(3, 4), np.array([True, False, True]), axis=0),
        case("Compress", x(3, 4), np.array([False, True, True]), axis=-1),
        case("Compress", x(3, 2), np.array([True, False, False, True, True])),
        case("Col2Im", x(2, 8, 9), ints(4, 4), ints(2, 2)),
        case("Col2Im", x(1, 12, 6), ints(5, 6), ints(3, 2), strides=[2, 2], pads=[1, 0, 0, 1]),
        case("Col2Im", x(1, 6, 12), ints(6, 3), ints(2, 1), dilations=[2, 1]),
        case("CenterCropPad", x(5, 4, 3), ints(3, 6), axes=[0, 1]),
        case("RotaryEmbedding", x(2, 3, 5, 4), cosine[None, :5].repeat(2, 0),
             sine[None, :5].repeat(2, 0), opset=23),
        case("Attention", x(1, 2, 3, 4), x(1, 2, 5, 4), x(1, 2, 5, 4), vary=(0, 1, 2), opset=23),
    ]  # fmt: skip


def _spectral() -> list[Case]:
    wave, pair = x(2, 10, 1), x(2, 6, 2)
    axis = np.array(1, I64)
    longer, shorter = np.array(12, I64), np.array(7, I64)
    return [
        case("DFT", wave, None, axis),
        case("DFT", wave, None, axis, onesided=1),
        case("DFT", wave, longer, axis, onesided=1),
        case("DFT", wave, shorter, axis, onesided=1),
        case("DFT", pair),
        case("DFT", pair, None, axis, inverse=1),
        case("DFT", pair, shorter, axis, inverse=1),
        case("DFT", x(2, 3, 4, 2), None, np.array(-2, I64)),
        case("DFT", pair, axis=1, opset=18),
        case("STFT", x(2, 20), np.array(4, I64), np.hanning(8), onesided=1),
        case("STFT", x(2, 22, 1), np.array(5, I64), None, np.array(8, I64), onesided=0),
    ]


def _sampling() -> list[Case]:
    picture = x(2, 3, 4, 5)
    # Away from the lines between pixels, some places outside of the picture.
    places = np.random.default_rng(3).integers(-3, 4, (2, 3, 2, 2)) * 0.35 + 0.07
    size = ints(2, 3, 4, 5)
    return [
        case("AffineGrid", x(2, 2, 3), size),
        case("AffineGrid", x(2, 2, 3), size, align_corners=1),
        case("AffineGrid", x(1, 3, 4), ints(1, 2, 3, 4, 2)),
        *(
            case("GridSample", picture, places, vary=(0, 1), mode="linear", **options)
            for options in (
                {},
                {"align_corners": 1},
                {"padding_mode": "border"},
                {"padding_mode": "border", "align_corners": 1},
            )
        ),
    ]


CASES = [
    Case(**{**vars(one), "kernels": "any"})
    for one in (*_pointwise(), *_moving(), *_spectral(), *_sampling())
]
