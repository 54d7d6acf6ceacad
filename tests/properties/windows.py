"""Random convolutions and poolings: every attribute, one to three dimensions."""

from hypothesis import strategies as st

from gradcheck.case import Case
from properties.drawing import Draw, away, case, draws, spaced

__all__ = ["convolutions", "poolings", "transposed_convolutions"]

_AUTO = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _each(draw: Draw, n: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))


@draws
def convolutions(draw: Draw) -> Case:
    n, group = draw(st.integers(1, 3)), draw(st.sampled_from((1, 1, 2, 3)))
    c, m = group * draw(st.integers(1, 3)), group * draw(st.integers(1, 3))
    kernel, strides = _each(draw, n, 1, 4 if n < 3 else 2), _each(draw, n, 1, 4)
    auto_pad = draw(st.sampled_from(_AUTO))
    same = auto_pad.startswith("SAME")  # with which ONNX Runtime has no dilations
    dilations = [1] * n if same else _each(draw, n, 1, 3)
    if same:  # further apart ONNX Runtime's reading of the standard is its own
        strides = [min(stride, k + 2) for stride, k in zip(strides, kernel, strict=True)]
    pads = _each(draw, 2 * n, 0, 4) if auto_pad == "NOTSET" else [0] * 2 * n
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    least = [max(span - pads[i] - pads[n + i], 1) for i, span in enumerate(spans)]
    extents = [low + draw(st.integers(0, 6 if n < 3 else 2)) for low in least]
    attributes = {"strides": strides, "dilations": dilations, "group": group, "auto_pad": auto_pad}
    if auto_pad == "NOTSET":
        attributes["pads"] = pads
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    weight = away(draw, m, c // group, *kernel)
    bias = [away(draw, m)] if draw(st.booleans()) else []
    return case("Conv", away(draw, draw(st.integers(1, 2)), c, *extents), weight, *bias,
                **attributes)  # fmt: skip


@draws
def transposed_convolutions(draw: Draw) -> Case:
    n, group = draw(st.integers(1, 3)), draw(st.sampled_from((1, 1, 2, 3)))
    c, m = group * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel, strides = _each(draw, n, 1, 4 if n < 3 else 2), _each(draw, n, 1, 3)
    dilations = _each(draw, n, 1, 2)
    extents = _each(draw, n, 2, 4)
    extra = [draw(st.integers(0, s - 1)) for s in strides]
    whole = [
        (x - 1) * s + (k - 1) * d + 1
        for x, s, k, d in zip(extents, strides, kernel, dilations, strict=True)
    ]
    begins = [draw(st.integers(0, min(2, (size - 1) // 2))) for size in whole]
    ends = [draw(st.integers(0, min(2, (size - 1) // 2))) for size in whole]
    return case(
        "ConvTranspose",
        away(draw, draw(st.integers(1, 2)), c, *extents),
        away(draw, c, m, *kernel),
        strides=strides,
        dilations=dilations,
        group=group,
        pads=[*begins, *ends],
        output_padding=extra,
    )


@draws
def poolings(draw: Draw) -> Case:
    op = draw(st.sampled_from(("MaxPool", "AveragePool", "LpPool")))
    n = draw(st.integers(1, 3))
    kernel, strides = _each(draw, n, 1, 4 if n < 3 else 2), _each(draw, n, 1, 5)
    auto_pad = draw(st.sampled_from(_AUTO))
    same = auto_pad.startswith("SAME")
    dilations = [1] * n if same else _each(draw, n, 1, 2)
    if same and op == "MaxPool":  # ONNX Runtime refuses to run it otherwise
        strides = [min(pair) for pair in zip(strides, kernel, strict=True)]
    attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides,
                                     "dilations": dilations, "auto_pad": auto_pad}  # fmt: skip
    pads = [0] * 2 * n
    if auto_pad == "NOTSET":
        pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
        attributes["pads"] = pads
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if op == "LpPool":
        attributes["p"] = draw(st.integers(1, 3))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    # An extent of a dilation at least: no window lies in the padding alone.
    least = [max(spans[i] - pads[i] - pads[n + i], dilations[i]) for i in range(n)]
    extents = [low + draw(st.integers(0, 6 if n < 3 else 2)) for low in least]
    values = spaced if op == "MaxPool" else away
    return case(op, values(draw, draw(st.integers(1, 2)), draw(st.integers(1, 3)), *extents),
                opset=22, **attributes)  # fmt: skip
