"""The rule of Einsum: what an operand gets is another Einsum, read backwards.

A sum of products is linear in each of its factors, so that the derivative by one of them is the
product of the cotangent and all the others, summed over what that one does not have.
"""

from collections.abc import Sequence
from string import ascii_letters

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import expand, extent, unbroadcast
from candor.autodiff.rules.table import ALL, Site, vjp
from candor.autodiff.values import Shape

__all__: list[str] = []

_Factor = tuple[str, str, Shape]
"""The letters of its axes, its name, its shape."""


@vjp("Einsum", operands=ALL)
def einsum(op: Emitter, at: Site) -> list[str | None]:
    """Multiply the cotangent and all other operands, with the letters of the one at the end.

    Of a letter that is twice in it only the diagonal gets something: the product has a further
    factor there, the identity. A letter that it alone has is summed over: all along it is alike.
    """
    terms, result = _spelled(at)
    factors = [
        (term, name, op.graph.shape(name) or (None,) * len(term))
        for term, name in zip(terms, at.node.input, strict=True)
    ]
    g = (result, at.g, op.graph.shape(at.g) or (None,) * len(result))
    return [
        _pulled(op, at, factor, [g, *factors[:index], *factors[index + 1 :]])
        if index in at.wanted
        else None
        for index, factor in enumerate(factors)
    ]


def _spelled(at: Site) -> tuple[list[str], str]:
    """The letters of each operand and of the result; those that stand for "..." are written out."""
    left, arrow, result = at.text("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:  # what is there once, in alphabetical order
        letters = sorted(set(left) - {",", "."})
        result = "..." * ("..." in left) + "".join(x for x in letters if left.count(x) == 1)
    free = "".join(sorted(set(ascii_letters) - set(left + result)))
    hidden = [
        len(at.shape(index)) - len(term) + 3 if "..." in term else 0
        for index, term in enumerate(terms)
    ]
    if (most := max(hidden)) > len(free):
        raise at.refusal("it has more axes than there are letters")

    def written(term: str, n: int) -> str:  # the last axes of each are the same
        return term.replace("...", free[most - n : most])

    return list(map(written, terms, hidden)), written(result, most)


def _pulled(op: Emitter, at: Site, own: _Factor, others: Sequence[_Factor]) -> str:
    """The product of the others, with the axes of one factor."""
    term, name, shape = own
    target, factors = "", list(others)
    used = set(term).union(*(letters for letters, *_ in others))
    for axis, letter in enumerate(term):
        spare = letter
        if letter in target:
            spare = next((x for x in ascii_letters if x not in used), "")
            if not spare:
                raise at.refusal("it has more axes than there are letters")
            used.add(spare)
            n = shape[axis]
            factors.append((letter + spare, _identity(op, name, axis, n), (n, n)))
        target += spare
    kept, certain = "", True
    for letter, n in zip(target, shape, strict=True):
        rivals = [s[t.index(letter)] for t, _, s in factors if letter in t]
        if n != 1 and any(rival != 1 for rival in rivals):
            kept += letter
            certain &= isinstance(n, int) or (n is not None and n in rivals)
    found = _product(op, factors, kept)
    if missing := [axis for axis, letter in enumerate(target) if letter not in kept]:
        found = op.Unsqueeze(found, missing)
    if repeated := [axis for axis in missing if shape[axis] != 1]:
        found = expand(op, found, name, repeated)
    return found if certain else unbroadcast(op, found, name)  # an axis of one may be longer there


def _product(op: Emitter, factors: Sequence[_Factor], kept: str) -> str:
    letters, name, _ = factors[0]
    if len(factors) == 1 and letters == kept:
        return name
    equation = ",".join(letters for letters, *_ in factors) + "->" + kept
    return op.Einsum(*(name for _, name, _ in factors), equation=equation)


def _identity(op: Emitter, value: str, axis: int, n: int | str | None) -> str:
    """The identity matrix for an axis of a value, of its type."""
    dtype = op.graph.dtype(value)
    if isinstance(n, int):
        return op.constant(np.eye(n, dtype=helper.tensor_dtype_to_np_dtype(dtype)))
    side = extent(op, value, axis)
    return op.EyeLike(op.ConstantOfShape(op.Concat(side, side, axis=0)), dtype=dtype)
