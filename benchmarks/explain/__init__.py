"""What explanations cost, and how much of that is needed."""

import os

# Read when numpy is first imported, and what the service sets: threads of its would spin beside
# ONNX Runtime's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
