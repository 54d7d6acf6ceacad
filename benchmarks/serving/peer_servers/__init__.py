"""The same ONNX file behind other servers; each file runs in the environment of its server."""
