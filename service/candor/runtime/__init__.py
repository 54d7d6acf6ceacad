"""Models in memory: files, manifests, preprocessing, sessions, programs, and the store of them."""

import os

# Builds of ONNX Runtime from 1.31 on report their use to its makers, unless told not to before they
# are imported. What is predicted here is nobody else's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
