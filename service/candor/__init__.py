"""candor: predictions that explain themselves, from one ONNX file, over gRPC."""

__version__ = "0.1.0"
