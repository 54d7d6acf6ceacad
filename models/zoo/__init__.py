"""Training and export of the models that candor serves, of every kind that it explains.

Nothing here is imported by the service; it needs torch, the service only needs the ONNX files.
"""
