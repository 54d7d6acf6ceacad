"""`python -m benchmarks.serving.bare FILE.onnx`: a loop round an ONNX Runtime session.

For each line "SECONDS" on standard input it classifies new pictures for that long, one at a time,
and writes how many a second. One thread, as the service has.
"""

import sys
from time import perf_counter

import numpy as np
import onnxruntime as ort

__all__ = ["main"]

_PICTURES = 64


def main(file: str) -> None:
    """Serve standard input until it ends."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    sizes = [1 if isinstance(size, str) else size for size in given.shape]
    pictures = np.random.default_rng(0).standard_normal((_PICTURES, *sizes), np.float32)
    session.run(None, {given.name: pictures[0]})
    for line in sys.stdin:
        seconds, count, began = float(line), 0, perf_counter()
        while (elapsed := perf_counter() - began) < seconds:
            session.run(None, {given.name: pictures[count % _PICTURES]})
            count += 1
        print(count / elapsed, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
