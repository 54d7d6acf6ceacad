"""`python ray_app.py FILE.onnx PORT`: for Ray Serve, tensors as the bytes of bodies."""

import sys
import time

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.peer_servers.session import open_session

__all__ = ["Onnx"]

_QUIET = {"log_level": "WARNING", "enable_access_log": False}


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Onnx:
    """Runs a file."""

    def __init__(self, file: str) -> None:
        self._session, self._name, self._sizes = open_session(file)

    async def __call__(self, request: Request) -> Response:
        """A body through the session."""
        row = np.frombuffer(await request.body(), np.float32).reshape(-1, *self._sizes)
        return Response(self._session.run(None, {self._name: row})[0].tobytes())


if __name__ == "__main__":
    ray.init(
        num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])}, logging_config=_QUIET)
    serve.run(Onnx.options(logging_config=_QUIET).bind(sys.argv[1]), route_prefix="/predict")
    while True:
        time.sleep(60)
