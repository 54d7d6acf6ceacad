"""A name server of one name, as a cluster has for a headless service."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_A, _IN, _TTL_S = 1, 1, 1
# An answer, with authority, that a query may recurse.
_ANSWER = 0x8580
_HEADER = struct.Struct(">6H")


class Names:
    """The addresses behind the name; change them as you like."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.port = 0

    def answer(self, query: bytes) -> bytes:
        """The addresses as A records; no records of any other type."""
        number, _, questions, *_ = _HEADER.unpack_from(query)
        assert questions == 1
        end = query.index(b"\0", _HEADER.size) + 5
        (kind,) = struct.unpack_from(">H", query, end - 4)
        found = sorted(self.addresses) if kind == _A else []
        # 0xC00C points back to the name in the question.
        records = b"".join(
            struct.pack(">HHHIH", 0xC00C, _A, _IN, _TTL_S, 4) + bytes(map(int, one.split(".")))
            for one in found
        )
        header = _HEADER.pack(number, _ANSWER, 1, len(found), 0, 0)
        return header + query[_HEADER.size : end] + records


@contextmanager
def naming() -> Iterator[Names]:
    """Answer on a port of the loopback while the block runs."""
    names = Names()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, port = self.request
            port.sendto(names.answer(query), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        names.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield names
        finally:
            server.shutdown()
            thread.join()
