"""Cotangents in parts that each hold every s-th element, and weaving them together late.

A strided operator passes its cotangent back in parts. What acts on each element alone acts on each
part alone as well, in the blocked layout that convolutions keep; weaving means to copy out of it.
So parts are woven as late as may be, where there are few channels, or not at all.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.moves import added, moved
from candor.autodiff.rules.table import Site, Woven

__all__ = ["each_part", "total", "weave"]

Parts = Mapping[tuple[int, ...], str]


def weave(op: Emitter, woven: dict[str, Woven], made: Woven, extents: Sequence[int]) -> str:
    """Weave parts into a value [n, c, *extents], and note what that is made of."""
    if set(made.strides) == {1}:
        whole = made.parts[(0,) * len(made.strides)]
    else:
        whole = _woven(op, made, extents)
    woven[whole] = made
    return whole


def each_part(
    op: Emitter, at: Site, change: Callable[[str, Callable[[str], str]], str]
) -> str | None:
    """Change the cotangent at a site part by part; None if it does not come in parts.

    `change` maps a part, and what takes the same part out of a value of the whole's extents.
    """
    found, extents = at.woven.get(at.g), static((op.graph.shape(at.g) or ())[2:])
    if found is None or extents is None or len(found.parts) < 2:
        return None
    changed = {}
    for key, part in found.parts.items():
        sizes = static((op.graph.shape(part) or ())[2:]) or ()

        def take(value: str, key: tuple[int, ...] = key, sizes: tuple[int, ...] = sizes) -> str:
            return moved(op, value, key, found.strides, sizes)

        changed[key] = change(part, take)
    return weave(op, at.woven, Woven(changed, found.strides), extents)


def total(op: Emitter, values: Sequence[str], woven: dict[str, Woven]) -> str:
    """Sum cotangents of one shape: part by part, where all of them come in like parts."""
    found = [woven.get(value) for value in values]
    strides = {made.strides for made in found if made is not None}
    extents = static((op.graph.shape(values[0]) or ())[2:])
    if None in found or len(strides) != 1 or extents is None:
        return added(op, values)
    sums: dict[tuple[int, ...], list[str]] = {}
    for made in found:
        for key, part in made.parts.items() if made is not None else ():
            sums.setdefault(key, []).append(part)
    parts = {key: added(op, terms) for key, terms in sums.items()}
    return weave(op, woven, Woven(parts, strides.pop()), extents)


def _woven(op: Emitter, made: Woven, extents: Sequence[int]) -> str:
    """Weave channels last, where an element is a run of memory."""
    n = len(extents)
    counts = [-(-extent // step) for extent, step in zip(extents, made.strides, strict=True)]
    some = next(iter(made.parts.values()))
    last = {}
    for key in np.ndindex(*made.strides):
        whole = moved(op, made.parts.get(key, some), [0] * n, [1] * n, counts, key in made.parts)
        last[key] = op.Transpose(whole, perm=[0, *range(2, n + 2), 1])
    shape = [*counts, int((op.graph.shape(some) or ())[1] or 0)]
    for axis in reversed(range(n)):
        heads = dict.fromkeys(key[:-1] for key in last)
        phases = range(made.strides[axis])
        last = {
            head: _interleaved(op, [last[(*head, p)] for p in phases], shape, axis)
            for head in heads
        }
        shape[axis] *= made.strides[axis]
    whole = last[()]
    if shape[:n] != list(extents):
        whole = op.Slice(whole, [0] * n, list(extents), list(range(1, n + 1)))
    return op.Transpose(whole, perm=[0, n + 1, *range(1, n + 1)])


def _interleaved(op: Emitter, parts: Sequence[str], shape: Sequence[int], axis: int) -> str:
    """Weave arrays [n, *shape] along an axis of the shape: first, second, ..., first, second."""
    if len(parts) == 1:
        return parts[0]
    inner = int(np.prod(shape[axis + 1 :]))
    joined = op.Concat(*(op.Reshape(part, [-1, inner]) for part in parts), axis=1)
    return op.Reshape(joined, [-1, *shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :]])
