"""Runs of a session that takes or gives bfloat16, for which numpy has no type of its own.

ONNX Runtime reads such arrays through its own kind of value, and gives none of them back as arrays.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

import ml_dtypes
import numpy as np
import onnxruntime as ort
from onnx import GraphProto, TensorProto

from candor.result import Array

__all__ = ["BFLOAT16", "bfloat16_hint", "run_session"]

BFLOAT16: Final = np.dtype(ml_dtypes.bfloat16)


def run_session(
    session: Any, names: Sequence[str], feeds: Mapping[str, Array], *, gives_bfloat16: bool
) -> list[Array]:
    """Run once; what ONNX Runtime raises is raised.

    Args:
        session: of ONNX Runtime.
        names: outputs to compute.
        feeds: every input by name.
        gives_bfloat16: whether any of the outputs is of that type.
    """
    if gives_bfloat16:
        values = {name: _value(array) for name, array in feeds.items()}
        return [_array(value) for value in session.run_with_ort_values(names, values)]
    fed = {name: _value(a) if a.dtype == BFLOAT16 else a for name, a in feeds.items()}
    found: list[Array] = session.run(names, fed)
    return found


def bfloat16_hint(graph: GraphProto) -> str:
    """What to add to the reason why a graph does not load; "" where it has no bfloat16."""
    used = {tensor.data_type for tensor in graph.initializer}
    used |= {value.type.tensor_type.elem_type for value in graph.input}
    if TensorProto.BFLOAT16 not in used:
        return ""
    return "; it computes in bfloat16, of which few operators run: export it in float16 or float32"


def _value(array: Array) -> ort.OrtValue:
    if array.dtype != BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy(array)
    bits = np.ascontiguousarray(array).view(np.uint16)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)


def _array(value: ort.OrtValue) -> Array:
    if value.element_type() != TensorProto.BFLOAT16:
        found: Array = value.numpy()
        return found
    bits = np.empty(value.shape(), np.uint16)
    if bits.size:
        ctypes.memmove(bits.ctypes.data, value.data_ptr(), bits.nbytes)
    return bits.view(BFLOAT16)
