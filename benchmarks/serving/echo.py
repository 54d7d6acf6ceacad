"""`python -m benchmarks.serving.echo PORT BYTES`: a grpc.aio server that answers at once.

It takes any unary call, reads nothing of it, and answers so many bytes: what gRPC in Python costs
when nothing is done.
"""

import sys

import grpc
import uvloop

__all__ = ["main"]


class _Anything(grpc.GenericRpcHandler):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def service(self, _: object) -> grpc.RpcMethodHandler:
        """The same for every method."""

        async def answer(_: bytes, __: object) -> bytes:
            return self._answer

        return grpc.unary_unary_rpc_method_handler(answer)


async def main(port: int, size: int) -> None:
    """Serve until killed."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Anything(bytes(size)),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
