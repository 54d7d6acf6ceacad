"""How long connections last: their age, and clients that no longer answer."""

import contextlib
import socket
import threading
import time
from shutil import copytree

import numpy as np

from candor.client import Client
from serving import REPOSITORY, running

# HTTP/2: what a client begins with, and its settings, which are empty.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HEADERS, PING, GOAWAY = 1, 6, 7


@contextlib.contextmanager
def serving(folder, **settings):
    copytree(REPOSITORY / "digits-mlp", folder / "models" / "digits-mlp")
    environ = {f"CANDOR_{name.upper()}": text for name, text in settings.items()}
    with running(folder, folder / "models", environ) as server:
        yield server


def test_an_aged_connection_is_ended_and_no_call_fails(tmp_path):
    with (
        serving(tmp_path, max_connection_age_s="0.2", max_connection_age_grace_s="600") as server,
        Client(server.grpc_target, attempts=1) as client,
    ):
        rows = {"image": np.zeros([1, 1, 28, 28], np.float32)}
        host, _, port = server.grpc_target.rpartition(":")
        began, n_calls = time.monotonic(), 0
        for _ in range(5):
            with socket.create_connection((host, int(port))) as aging:
                aging.sendall(HELLO)
                said = b""
                while GOAWAY not in kinds(said):
                    client.predict("digits-mlp", tensors=rows)
                    n_calls += 1
                    with contextlib.suppress(BlockingIOError):
                        said += aging.recv(4096, socket.MSG_DONTWAIT)
                    assert time.monotonic() - began < 120
        assert n_calls > 5


def test_a_call_that_no_server_has_seen_is_sent_again_by_a_client_of_one_attempt(tmp_path):
    rows = {"image": np.zeros([1, 1, 28, 28], np.float32)}
    with (
        serving(tmp_path, max_connection_age_s="0") as server,
        going_away_once(server.grpc_target) as target,
        Client(target, attempts=1) as client,
    ):
        assert client.predict("digits-mlp", tensors=rows).rows


@contextlib.contextmanager
def going_away_once(target):
    """A server that leaves when the first call has come, and has seen none; then the one behind."""
    address = target.rpartition(":")[::2]

    def serve(listening):
        first, _ = listening.accept()
        with first:
            first.sendall(HELLO[24:])  # its settings: the line before them is the client's alone
            said = b""
            while HEADERS not in kinds(said[24:]) and (part := first.recv(4096)):
                said += part
            first.sendall(bytes([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]) + bytes(8))
            second, _ = listening.accept()
        with second, socket.create_connection((address[0], int(address[1]))) as behind:
            back = threading.Thread(target=pump, args=(behind, second))
            back.start()
            pump(second, behind)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(120)
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        yield "{}:{}".format(*listening.getsockname())
    serving.join()


def pump(source, sink):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


def test_a_client_that_answers_nothing_is_hung_up_on(tmp_path):
    with serving(tmp_path, keepalive_s="0.5", max_connection_age_s="0") as server:
        host, _, port = server.grpc_target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=120) as silent:
            silent.sendall(HELLO)
            said = b""
            with contextlib.suppress(ConnectionError):
                while part := silent.recv(4096):
                    said += part
    assert PING in kinds(said)


def kinds(data):
    """The types of HTTP/2's frames."""
    found = []
    while len(data) >= 9:
        found.append(data[3])
        data = data[9 + int.from_bytes(data[:3]) :]
    return found
