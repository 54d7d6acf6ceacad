"""Clients of the shared server, and rows to send to it."""

from pathlib import Path

import httpx
import numpy as np
import pytest
import skimage.data

from candor.client import Client
from wire.protocol import Protocol


@pytest.fixture(scope="session")
def oip(server):
    client = Protocol(server.grpc_target)
    yield client
    client.close()


@pytest.fixture(scope="session")
def client(server):
    with Client(server.grpc_target) as found:
        yield found


@pytest.fixture(scope="session")
def cat():
    """A photograph of a cat, as it lies in a package."""
    return Path(skimage.data.__file__).with_name("chelsea.png").read_bytes()


@pytest.fixture(scope="session")
def pixels():
    """Two rows of the photograph model's input."""
    return np.random.default_rng(5).normal(size=(2, 3, 64, 64)).astype(np.float32)


@pytest.fixture(scope="session")
def web(server):
    """The HTTP port."""
    with httpx.Client(base_url=server.http_url, timeout=60) as found:
        yield found
