"""What each request of a load test carries: rows of the user's, or rows made for the model."""

from collections.abc import Callable
from functools import partial

import numpy as np

from candor.cli.exits import UsageError
from candor.cli.remote import RowArguments
from candor.client import ModelInfo
from candor.result import Array, Images, Payload, Tensors, Texts

__all__ = ["RowSource", "made_for", "taken_from"]

RowSource = Callable[[], RowArguments]

_WORDS = (
    "a an the this that film story actor scene plot was is seems feels never always often not "
    "very quite hardly good bad dull bright slow funny sad clever long short and but yet because"
).split()
_N_WORDS = 12
_FLOATS = ("FP16", "FP32", "FP64")
_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
# Small enough for any vocabulary or table of categories that is worth a load test.
_HIGHEST_INTEGER = 2
_PATCHES, _GRAIN = 8, 0.1
"""Along an axis, and how much numbers differ within one."""


def made_for(
    model: ModelInfo, n_rows: int, length: int, repeat: int, rng: np.random.Generator
) -> RowSource:
    """Random rows that fit a model: texts where the server reads texts, else tensors.

    Args:
        model: what they must fit.
        n_rows: in a request.
        length: of axes that have no fixed one.
        repeat: how many different requests there are; 0: each one is new, and no cache knows it.
        rng: where they are drawn.

    Raises:
        UsageError: an input that random numbers cannot fill.
    """
    if model.preprocessing and model.kind == "tokens":
        make = partial(_texts, n_rows, rng)
    else:
        odd = [i for i in model.inputs if i[1] not in (*_FLOATS, *_INTEGERS, "BOOL")]
        if odd:
            raise UsageError(
                f"input '{odd[0][0]}' of {model.id.name} is {odd[0][1]}; name rows to send"
            )
        make = partial(_tensors, model, n_rows, length, rng)
    return _repeating([make() for _ in range(repeat)], rng) if repeat else make


def taken_from(payload: Payload, n_rows: int, rng: np.random.Generator) -> RowSource:
    """Rows of the user's, drawn with replacement."""
    match payload:
        case Images(encoded):
            return lambda: {"images": [encoded[i] for i in _drawn(len(encoded), n_rows, rng)]}
        case Texts(texts):
            return lambda: {"texts": [texts[i] for i in _drawn(len(texts), n_rows, rng)]}
        case Tensors(by_name):
            count = min(len(array) for array in by_name.values())

            def tensors() -> RowArguments:
                rows = _drawn(count, n_rows, rng)
                return {"tensors": {name: array[rows] for name, array in by_name.items()}}

            return tensors


def _drawn(count: int, n_rows: int, rng: np.random.Generator) -> Array:
    drawn: Array = rng.integers(0, count, n_rows)
    return drawn


def _repeating(rows: list[RowArguments], rng: np.random.Generator) -> RowSource:
    return lambda: rows[int(rng.integers(0, len(rows)))]


def _texts(n_rows: int, rng: np.random.Generator) -> RowArguments:
    return {"texts": [" ".join(rng.choice(_WORDS, _N_WORDS)) for _ in range(n_rows)]}


def _tensors(model: ModelInfo, n_rows: int, length: int, rng: np.random.Generator) -> RowArguments:
    tensors = {}
    for name, datatype, shape in model.inputs:
        sizes = (n_rows, *(length if size < 0 else size for size in shape[1:]))
        tensors[name] = _filled(datatype, sizes, rng)
    return {"tensors": tensors}


def _filled(datatype: str, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
    if datatype in _FLOATS:
        return _patchwork(sizes, rng).astype(f"float{datatype[2:]}", copy=False)
    kind = np.dtype("bool" if datatype == "BOOL" else datatype.lower())
    return rng.integers(0, _HIGHEST_INTEGER, sizes).astype(kind)


def _patchwork(sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Numbers that mostly change from patch to patch, as those of pictures and signals do.

    Along short axes every number is drawn for itself. White noise all over would have no segments,
    and an explanation by them nothing to do.
    """
    n_rows, *rest = sizes
    sides = [max(1, size // _PATCHES) for size in rest]
    patches = rng.standard_normal(
        (n_rows, *(-(-size // side) for size, side in zip(rest, sides, strict=True))), np.float32
    )
    for axis, side in enumerate(sides, start=1):
        patches = patches.repeat(side, axis)
    drawn: Array = patches[tuple(map(slice, sizes))]
    drawn += np.float32(_GRAIN) * rng.standard_normal(sizes, np.float32)
    return drawn
