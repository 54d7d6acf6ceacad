"""Which outputs are probabilities already, whatever operator wrote them: found out by running once.

Forests, naive Bayes, support vector machines and means of several softmaxes end in no activation
that could be read off the graph; to take their probabilities for logits would squash them again.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from candor.errors import InvalidInput
from candor.result import Array
from candor.runtime.extents import zeros_for
from candor.runtime.session import Session
from candor.runtime.specs import TensorSpec

__all__ = ["distributions_of"]

_OFF_ONE: Final = 1e-4
_OFF_ONE_OF_16_BITS: Final = 1e-2


def distributions_of(session: Session) -> frozenset[str]:
    """Names of the outputs [n, k], k > 1, whose rows are from 0 to 1 and sum to 1.

    The inputs are zeros, and random numbers where they are floats: that logits should do so on
    both is next to impossible. An input that does not fit the model says nothing.
    """
    found = {
        spec.name
        for spec in session.outputs
        if len(spec.shape) == 2 and spec.datatype in ("FP32", "FP64", "FP16", "BF16")
    }
    ran = False
    for feeds in _inputs(session.inputs):
        try:
            outputs = session.run(feeds)
        except InvalidInput:
            continue
        ran = True
        found = {name for name in found if _sums_to_one(outputs[name])}
    return frozenset(found if ran else ())


def _inputs(specs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    zeros = zeros_for(specs)
    yield zeros
    draw = np.random.default_rng(0)
    drawn = {
        name: draw.random(array.shape).astype(array.dtype) if _is_float(array) else array
        for name, array in zeros.items()
    }
    if any(map(_is_float, zeros.values())):
        yield drawn


def _is_float(array: Array) -> bool:
    return bool(array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def _sums_to_one(rows: Array) -> bool:
    values = rows.astype(np.float64)
    if values.size == 0 or values.shape[1] < 2:
        return False
    off = _OFF_ONE_OF_16_BITS if rows.dtype.itemsize == 2 else _OFF_ONE
    inside = values.min() >= -off and values.max() <= 1 + off
    return bool(inside and np.abs(values.sum(axis=1) - 1).max() <= off)
