"""Programs: the ONNX graphs that candor compiles out of a model, one function each.

A program holds the forward pass and, appended to it, what one kind of explanation needs. It is an
ordinary ONNX model: ONNX Runtime runs it, and anyone can open it.
"""
