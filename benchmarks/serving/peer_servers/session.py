"""One ONNX Runtime session, as candor opens it: one thread, all optimisations."""

from typing import Any

import numpy as np
import onnxruntime as ort

__all__ = ["open_session"]


def open_session(file: str) -> tuple[ort.InferenceSession, str, tuple[int, ...]]:
    """The session, the name of its input, and the sizes of a row of it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    sizes: list[Any] = given.shape[1:]
    session.run(None, {given.name: np.zeros((1, *sizes), np.float32)})
    return session, given.name, tuple(sizes)
