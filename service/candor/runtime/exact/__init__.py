"""Programs in float64, for checking those in float32: ONNX Runtime lacks many of the kernels."""

from candor.runtime.exact.promote import Exact, in_float64

__all__ = ["Exact", "in_float64"]
