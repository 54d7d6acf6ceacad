"""What the strategies share: values, shapes, and cases out of them."""

import numpy as np
from hypothesis import strategies as st

from gradcheck.case import Case

__all__ = ["Draw", "away", "broadcastable", "case", "draws", "shapes", "spaced", "upwards"]

Draw = st.DrawFn
draws = st.composite


def _rng(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def away(draw: Draw, *shape: int) -> np.ndarray:
    """Values of both signs, none within 0.05 of a kink at zero."""
    drawn = _rng(draw).standard_normal(shape)
    return np.asarray(drawn + 0.05 * np.sign(drawn))


def upwards(draw: Draw, *shape: int) -> np.ndarray:
    """Values from 0.5 to 2."""
    return np.asarray(_rng(draw).uniform(0.5, 2.0, shape))


def spaced(draw: Draw, *shape: int) -> np.ndarray:
    """Values at least 0.05 apart: no maximum is close to another."""
    size = int(np.prod(shape))
    return ((_rng(draw).permutation(size) - size / 2) * 0.05 + 0.021).reshape(shape)


@draws
def shapes(draw: Draw, low: int = 1, high: int = 4) -> tuple[int, ...]:
    rank = draw(st.integers(low, high))
    return tuple(draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank)))


@draws
def broadcastable(draw: Draw, whole: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts against another one without making it larger."""
    kept = draw(st.integers(0, len(whole)))
    return tuple(1 if draw(st.booleans()) else size for size in whole[len(whole) - kept :])


def case(
    op: str,
    *operands: np.ndarray | None,
    vary: tuple[int, ...] = (0,),
    outputs: int = 1,
    opset: int = 21,
    **attributes: object,
) -> Case:
    """A case that runs where there are kernels for it."""
    return Case(op, list(operands), vary, attributes, outputs, opset, "any")
