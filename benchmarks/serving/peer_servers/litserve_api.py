"""`python litserve_api.py FILE.onnx PORT`: for LitServe, tensors as base64 in its JSON."""

import base64
import sys
from typing import Any

import litserve as ls
import numpy as np

from benchmarks.serving.peer_servers.session import open_session

__all__ = ["Onnx"]


class Onnx(ls.LitAPI):
    """Runs a file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def setup(self, device: str) -> None:
        """Open the session, in the worker."""
        del device
        self._session, self._name, self._sizes = open_session(self._file)

    def decode_request(self, request: dict[str, str]) -> Any:
        """Bytes as a tensor."""
        row = np.frombuffer(base64.b64decode(request["data"]), np.float32)
        return row.reshape(-1, *self._sizes)

    def predict(self, x: Any) -> Any:
        """Through the session."""
        return self._session.run(None, {self._name: x})[0]

    def encode_response(self, output: Any) -> dict[str, str]:
        """A tensor as bytes."""
        return {"data": base64.b64encode(output.tobytes()).decode()}


if __name__ == "__main__":
    server = ls.LitServer(Onnx(sys.argv[1]), accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
