"""One operator per case: its operands, its attributes, and which operands are varied."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["I64", "Case", "case", "distinct", "ints", "positive", "x"]

_RNG = np.random.default_rng(7)
I64 = np.int64


@dataclass(frozen=True)
class Case:
    """A node; operands that are not varied are initialisers.

    `kernels` is where it is run: 'reference' (onnx's own, in float64), or 'runtime' (ONNX Runtime)
    where that has float64 kernels and the reference is wrong or missing.
    """

    op: str
    operands: list[np.ndarray | None]
    vary: tuple[int, ...]
    attributes: dict[str, object] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 21
    kernels: str = "reference"

    def __str__(self) -> str:
        shown = [f"{k}={v}" for k, v in self.attributes.items()]
        shapes = ["x".join(map(str, a.shape)) or "()" for a in self.operands if a is not None]
        return ",".join([self.op, *shapes, *shown]).replace(" ", "")


def x(*shape: int) -> np.ndarray:
    """Values of both signs, none within 0.05 of a kink at zero."""
    draw = _RNG.standard_normal(shape)
    return draw + 0.05 * np.sign(draw)


def positive(*shape: int) -> np.ndarray:
    return _RNG.uniform(0.5, 2.0, shape)


def distinct(*shape: int) -> np.ndarray:
    """Values far enough apart that no step of the check changes their order."""
    return _RNG.permutation(int(np.prod(shape))).reshape(shape) * 0.1 - 1.0


def ints(*values: int) -> np.ndarray:
    return np.array(values, I64)


def case(
    op: str,
    *operands: np.ndarray | None,
    vary: tuple[int, ...] = (0,),
    outputs: int = 1,
    opset: int = 21,
    kernels: str = "reference",
    **attributes: object,
) -> Case:
    return Case(op, list(operands), vary, attributes, outputs, opset, kernels)
