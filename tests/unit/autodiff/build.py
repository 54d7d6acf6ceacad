"""Models written out: the text form of ONNX, with weights filled in."""

import numpy as np
from onnx import ModelProto, numpy_helper, parser

__all__ = ["model"]


def model(text: str, opset: int = 18, **weights: object) -> ModelProto:
    """Parse `(inputs) => (outputs) { nodes }`, and add initialisers."""
    made = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()
    )
    return made
