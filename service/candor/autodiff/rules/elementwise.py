"""Rules of operators that act element by element.

Most are a slope: cotangent times a local derivative that depends on the operand x and the result y.
"""

import math
from collections.abc import Callable

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.extents import unbroadcast
from candor.autodiff.rules.gates import complement, times
from candor.autodiff.rules.table import ALL, Site, vjp
from candor.autodiff.values import FLOATS

__all__: list[str] = []

_Slope = Callable[[Emitter, str, str], Operand]

_SLOPES: dict[str, _Slope] = {
    "Abs": lambda op, x, _: op.Sign(x),
    "Acos": lambda op, x, _: op.Neg(op.Reciprocal(op.Sqrt(op.Sub(1.0, op.Mul(x, x))))),
    "Asin": lambda op, x, _: op.Reciprocal(op.Sqrt(op.Sub(1.0, op.Mul(x, x)))),
    "Atan": lambda op, x, _: op.Reciprocal(op.Add(1.0, op.Mul(x, x))),
    "Cos": lambda op, x, _: op.Neg(op.Sin(x)),
    "Cosh": lambda op, x, _: op.Sinh(x),
    "Erf": lambda op, x, _: op.Mul(2 / math.sqrt(math.pi), op.Exp(op.Neg(op.Mul(x, x)))),
    "Exp": lambda _op, _, y: y,
    "Log": lambda op, x, _: op.Reciprocal(x),
    "Reciprocal": lambda op, _, y: op.Neg(op.Mul(y, y)),
    "Sigmoid": lambda op, _, y: op.Mul(y, complement(op, y)),
    "Sin": lambda op, x, _: op.Cos(x),
    "Sinh": lambda op, x, _: op.Cosh(x),
    "Softplus": lambda op, x, _: op.Sigmoid(x),
    "Softsign": lambda op, x, _: op.Reciprocal(_square(op, op.Add(1.0, op.Abs(x)))),
    "Sqrt": lambda op, _, y: op.Div(0.5, y),
    "Tan": lambda op, _, y: op.Add(1.0, op.Mul(y, y)),
    "Tanh": lambda op, _, y: op.Sub(1.0, op.Mul(y, y)),
}


def _square(op: Emitter, x: str) -> str:
    return op.Mul(x, x)


def _enter_slope(op_type: str, slope: _Slope) -> None:
    @vjp(op_type)
    def rule(op: Emitter, at: Site) -> list[str]:
        return [op.Mul(at.g, slope(op, at.x, at.y))]


for _op_type, _slope in _SLOPES.items():
    _enter_slope(_op_type, _slope)


# Arithmetic with broadcasting


@vjp("Add", operands=(0, 1))
def add(op: Emitter, at: Site) -> list[str]:
    a, b = at.node.input
    return [unbroadcast(op, at.g, a, b), unbroadcast(op, at.g, b, a)]


@vjp("Sub", operands=(0, 1))
def sub(op: Emitter, at: Site) -> list[str]:
    a, b = at.node.input
    return [unbroadcast(op, at.g, a, b), unbroadcast(op, op.Neg(at.g), b, a)]


@vjp("Mul", operands=(0, 1))
def mul(op: Emitter, at: Site) -> list[str | None]:
    a, b = at.node.input
    for value, gate, place in ((a, b, 0), (b, a, 1)):
        node = op.graph.producer(gate)
        if node is not None and node.op_type == "Sigmoid" and node.input[0] == value:
            # x * sigmoid(x), as Swish is exported: in one go, by half the passes over memory.
            slope = op.Add(op.Mul(at.y, complement(op, gate)), gate)
            whole = times(op, at, slope)
            return [whole, None] if place == 0 else [None, whole]
    return [unbroadcast(op, op.Mul(at.g, b), a, b), unbroadcast(op, op.Mul(at.g, a), b, a)]


@vjp("Div", operands=(0, 1))
def div(op: Emitter, at: Site) -> list[str]:
    a, b = at.node.input
    share = op.Div(at.g, b)
    return [unbroadcast(op, share, a, b), unbroadcast(op, op.Neg(op.Mul(share, at.y)), b, a)]


@vjp("Pow", operands=(0, 1))
def power(op: Emitter, at: Site) -> list[str | None]:
    a, b = at.node.input
    base = exponent = None
    if 0 in at.wanted:
        base = unbroadcast(op, op.Mul(at.g, _power_slope(op, at)), a, b)
    if 1 in at.wanted:
        # 0 ** b is constant in b > 0, where log(0) would say otherwise.
        grows = op.Mul(at.y, op.Log(op.Where(op.Greater(a, 0.0), a, 1.0)))
        exponent = unbroadcast(op, op.Mul(at.g, grows), b, a)
    return [base, exponent]


def _power_slope(op: Emitter, at: Site) -> str:
    a, b = at.node.input
    constant = at.constant(1)
    if constant is not None and constant.size == 1:
        exponent = float(constant.reshape(()))
        if exponent == 2.0:
            return op.Mul(2.0, a)
        return op.Mul(exponent, op.Pow(a, exponent - 1.0))
    exponents = op.CastLike(b, a)
    return op.Mul(exponents, op.Pow(a, op.Sub(exponents, 1.0)))


@vjp("Neg")
def neg(op: Emitter, at: Site) -> list[str]:
    return [op.Neg(at.g)]


@vjp("Sum", operands=ALL)
def sum_all(op: Emitter, at: Site) -> list[str]:
    names = list(at.node.input)
    return [unbroadcast(op, at.g, x, *(o for o in names if o != x)) for x in names]


@vjp("Mean", operands=ALL)
def mean_all(op: Emitter, at: Site) -> list[str]:
    names = list(at.node.input)
    share = op.Div(at.g, float(len(names)))
    return [unbroadcast(op, share, x, *(o for o in names if o != x)) for x in names]


@vjp("Max", "Min", operands=ALL)
def extremum(op: Emitter, at: Site) -> list[str | None]:
    """Share a cotangent evenly among equals, as torch.maximum does."""
    names = list(at.node.input)
    if len(names) == 1:
        return [at.g]
    hits = [op.Cast(op.Equal(x, at.y), to=op.graph.dtype(at.g)) for x in names]
    share = op.Div(at.g, op.Add(*hits) if len(hits) == 2 else op.Sum(*hits))
    return [
        unbroadcast(op, op.Mul(share, hit), x, *(o for o in names if o != x))
        for x, hit in zip(names, hits, strict=True)
    ]


@vjp("Where", operands=(1, 2))
def where(op: Emitter, at: Site) -> list[str | None]:
    condition, a, b = at.node.input
    first = unbroadcast(op, op.Where(condition, at.g, 0.0), a, b, condition)
    second = unbroadcast(op, op.Where(condition, 0.0, at.g), b, a, condition)
    return [first, second]


# Passing through


@vjp("Identity")
def identity(op: Emitter, at: Site) -> list[str]:
    del op
    return [at.g]


@vjp("Cast", "CastLike", stops=[1])
def cast(op: Emitter, at: Site) -> list[str | None]:
    source = op.graph.dtype(at.x)
    if source not in FLOATS:
        return [None]
    return [at.g if op.graph.dtype(at.g) == source else op.Cast(at.g, to=source)]


@vjp("Dropout", stops=[1, 2])
def dropout(op: Emitter, at: Site) -> list[str]:
    del op
    if at.operand(2) is not None and at.required(2, "training_mode").any():
        raise at.refusal("it is in training mode, where it drops at random")
    return [at.g]
