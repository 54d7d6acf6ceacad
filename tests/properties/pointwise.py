"""Random element-wise operators, reductions, products and normalisations."""

import numpy as np
from hypothesis import strategies as st

from gradcheck.case import I64, Case
from properties.drawing import Draw, away, broadcastable, case, draws, shapes, spaced, upwards

__all__ = ["activations", "broadcasts", "normalisations", "products", "reductions"]


@draws
def broadcasts(draw: Draw) -> Case:
    whole = draw(shapes(0, 4))
    op = draw(st.sampled_from("Add Sub Mul Div Pow Max Min Mean Sum Where PRelu".split()))
    first, second = (draw(broadcastable(whole)) for _ in range(2))
    if op == "PRelu":  # the slope is broadcast to the operand, never the other way round
        return case(op, away(draw, *whole), upwards(draw, *second), vary=(0, 1))
    if op == "Where":
        condition = np.asarray(away(draw, *draw(broadcastable(whole))) > 0)
        return case(op, condition, away(draw, *first), away(draw, *second), vary=(1, 2))
    if op in {"Max", "Min"}:
        return case(
            op, spaced(draw, *first), np.asarray(spaced(draw, *second) + 0.017), vary=(0, 1)
        )
    if op in {"Mean", "Sum"}:
        parts = [away(draw, *draw(broadcastable(whole))) for _ in range(draw(st.integers(1, 4)))]
        return case(op, *parts, vary=tuple(range(len(parts))))
    values = upwards if op in {"Div", "Pow"} else away
    return case(op, values(draw, *first), values(draw, *second), vary=(0, 1))


@draws
def reductions(draw: Draw) -> Case:
    shape = draw(shapes(1, 4))
    op = draw(st.sampled_from(
        "ReduceSum ReduceMean ReduceL1 ReduceL2 ReduceLogSumExp ReduceSumSquare ReduceMax "
        "ReduceMin ReduceProd ReduceLogSum".split()))  # fmt: skip
    values = {"ReduceMax": spaced, "ReduceMin": spaced, "ReduceProd": upwards,
              "ReduceLogSum": upwards}.get(op, away)  # fmt: skip
    axes = draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    axes = [axis - len(shape) if draw(st.booleans()) else axis for axis in axes]
    given = [np.array(axes, I64)] if axes or draw(st.booleans()) else []
    # The sum of squares and the like of no axes at all is the operand, or its square, by taste.
    plain = op in {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"}
    noop = draw(st.integers(0, 1)) if plain else 0
    return case(op, values(draw, *shape), *given, keepdims=draw(st.integers(0, 1)),
                noop_with_empty_axes=noop)  # fmt: skip


@draws
def products(draw: Draw) -> Case:
    op = draw(st.sampled_from(("MatMul", "MatMul", "Gemm", "Einsum")))
    size = st.integers(1, 4)
    n, k, m = draw(size), draw(size), draw(size)
    if op == "Gemm":
        flip_a, flip_b = draw(st.integers(0, 1)), draw(st.integers(0, 1))
        a = away(draw, *((k, n) if flip_a else (n, k)))
        b = away(draw, *((m, k) if flip_b else (k, m)))
        c = [away(draw, *draw(broadcastable((n, m))))] if draw(st.booleans()) else []
        factors = [draw(st.sampled_from((1.0, 0.5, -2.0))) for _ in range(2)]
        return case(op, a, b, *c, vary=tuple(range(2 + len(c))), transA=flip_a, transB=flip_b,
                    alpha=factors[0], beta=factors[1])  # fmt: skip
    if op == "Einsum":
        sizes = dict(zip("bijk", (draw(size) for _ in range(4)), strict=True))
        letters = st.lists(st.sampled_from("bijk"), max_size=3)
        terms = draw(st.lists(letters, min_size=1, max_size=4))
        known = sorted(set().union(*terms))
        result = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        equation = ",".join(map("".join, terms)) + "->" + "".join(result)
        factors = [away(draw, *(sizes[x] for x in term)) for term in terms]
        return case(op, *factors, vary=tuple(range(len(factors))), equation=equation)
    whole = draw(shapes(0, 2))
    batches = [draw(broadcastable(whole)) for _ in range(2)]
    a = (k,) if draw(st.integers(0, 3)) == 0 else (*batches[0], n, k)
    b = (k,) if draw(st.integers(0, 3)) == 0 else (*batches[1], k, m)
    return case(op, away(draw, *a), away(draw, *b), vary=(0, 1))


@draws
def activations(draw: Draw) -> Case:
    positive = st.floats(0.1, 3.0)
    op, attributes = draw(st.sampled_from((
        ("Elu", ("alpha",)), ("Celu", ("alpha",)), ("Selu", ("alpha", "gamma")),
        ("LeakyRelu", ("alpha",)), ("ThresholdedRelu", ("alpha",)), ("Shrink", ("lambd", "bias")),
        ("HardSigmoid", ("alpha", "beta")), ("Swish", ("alpha",)), ("Gelu", ()), ("Mish", ()),
        ("Relu", ()), ("Softplus", ()), ("Softsign", ()), ("HardSwish", ()), ("Sigmoid", ()),
        ("Tanh", ()), ("Erf", ()),
    )))  # fmt: skip
    given: dict[str, object] = {name: draw(positive) for name in attributes}
    if op == "Gelu" and draw(st.booleans()):
        given["approximate"] = "tanh"
    return case(op, 2 * away(draw, *draw(shapes(1, 4))), opset=24 if op == "Swish" else 21, **given)


@draws
def normalisations(draw: Draw) -> Case:  # noqa: C901 - one form after the other
    op = draw(st.sampled_from((
        "Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "LpNormalization",
        "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
        "MeanVarianceNormalization",
    )))  # fmt: skip
    epsilon = draw(st.sampled_from((1e-2, 1e-1)))  # less, and float32 is all noise: 1 / epsilon
    if op in {"Softmax", "LogSoftmax", "LpNormalization", "LayerNormalization", "RMSNormalization"}:
        shape = draw(shapes(1, 4))
        axis = draw(st.integers(-len(shape), len(shape) - 1))
        x = away(draw, *shape)
        if op in {"Softmax", "LogSoftmax"}:
            return case(op, x, axis=axis)
        if op == "LpNormalization":
            return case(op, x, axis=axis, p=2)
        scale = upwards(draw, *shape[axis:])
        if op == "RMSNormalization":
            return case(op, x, scale, axis=axis, epsilon=epsilon, opset=23)
        shift = [away(draw, *shape[axis:])] if draw(st.booleans()) else []
        return case(op, x, scale, *shift, axis=axis, epsilon=epsilon)
    groups = draw(st.integers(1, 3))
    c = groups * draw(st.integers(1, 3))
    spatial = draw(shapes(2, 2)) if op in {"LRN", "MeanVarianceNormalization"} else draw(shapes(1))
    x = away(draw, draw(st.integers(1, 3)), c, *spatial)
    if op == "LRN":
        return case(op, x, size=draw(st.sampled_from((1, 3, 5))), alpha=0.4, beta=0.7, bias=1.2)
    if op == "MeanVarianceNormalization":
        return case(op, away(draw, 3, c, *spatial))
    scale, shift = upwards(draw, c), away(draw, c)
    if op == "BatchNormalization":
        return case(op, x, scale, shift, away(draw, c), upwards(draw, c), epsilon=epsilon)
    if op == "InstanceNormalization":
        return case(op, x, scale, shift, epsilon=epsilon)
    return case(op, x, scale, shift, num_groups=groups, epsilon=epsilon)
