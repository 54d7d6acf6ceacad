"""One operator per case: its operands, its attributes, and which operands are varied."""

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["I64", "Case", "case", "distinct", "ints", "model_of", "positive", "x"]

_RNG = np.random.default_rng(7)
I64 = np.int64


@dataclass(frozen=True)
class Case:
    """A node; operands that are not varied are initialisers.

    `kernels` is where it is run in float64: 'reference' (onnx's own and those of kernels.py),
    'runtime' (ONNX Runtime), or 'any' of the two, the runtime's first.
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

    @property
    def point(self) -> dict[str, np.ndarray]:
        """The varied operands, by the names that they have in the model."""
        named = {f"operand_{i}": self.operands[i] for i in self.vary}
        return {name: array for name, array in named.items() if array is not None}


def model_of(case: Case, *, known: str) -> ModelProto:
    """A model of the one node; the varied operands are inputs, with or without known extents.

    `known` is 'all', 'all but batch' or 'rank'.
    """
    names = [f"operand_{i}" if a is not None else "" for i, a in enumerate(case.operands)]
    node = helper.make_node(
        case.op, names, [f"result_{i}" for i in range(case.outputs)], name="node", **case.attributes
    )
    inputs, constants = [], []
    for i, (name, array) in enumerate(zip(names, case.operands, strict=True)):
        if i in case.vary:
            n = {"all": 0, "all but batch": 1, "rank": array.ndim}[known]
            shape = [f"axis_{i}_{axis}" for axis in range(min(n, array.ndim))] + [*array.shape[n:]]
            inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape))
        elif array is not None:
            constants.append(numpy_helper.from_array(array, name))
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], case.op, inputs, outputs, constants)
    opset = helper.make_opsetid("", case.opset)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


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
