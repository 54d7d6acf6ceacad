"""What the compiled gradient costs, next to the forward pass, torch and onnx-ad."""
