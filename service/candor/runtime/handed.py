"""Weights that a session is given beside its graph, so that they are in no message.

ONNX Runtime puts each into the session where the graph has it as external data, and takes a copy,
or what it makes of it for its kernels. Seen with 1.31: once the session is there it reads none of
what it was given.
"""

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from onnx import TensorProto, numpy_helper

from candor.result import Array

__all__ = ["hand_over"]


def hand_over(weights: Mapping[str, TensorProto], options: Any) -> list[Any]:
    """Let a session that is opened with these options have weights.

    Returns:
        What must be kept until it is open, and no longer.

    Raises:
        ValueError: one has fewer or more bytes than its shape asks for.
    """
    values = [ort.OrtValue.ortvalue_from_numpy(_array(tensor)) for tensor in weights.values()]
    if values:
        options.add_external_initializers(list(weights), values)
    return values


def _array(tensor: TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except ValueError as error:
        raise ValueError(f"weight '{tensor.name}': {error}") from error
