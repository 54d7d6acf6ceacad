"""A connected client for the tests of the whole service."""

from collections.abc import Iterator

import pytest

from candor.client import Client
from serving import Server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.grpc_target) as connected:
        yield connected
