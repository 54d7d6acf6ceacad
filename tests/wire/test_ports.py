"""Ports: found in use they are an error, not shared and not the end of the process."""

import asyncio
import socket
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from candor.metrics import Metrics
from candor.runtime.store import Store
from candor.wire.call import Frame
from candor.wire.health import Readiness
from candor.wire.http import http_app, serving_http
from candor.wire.server import start_grpc
from candor.wire.services import Services
from serving import ROOT
from wire.protocol import get

# What a client must not need: the server's packages, and the server's own.
HEAVY = """
import sys
import candor.client
roots = {name.partition(".")[0] for name in sys.modules}
heavy = "onnx onnxruntime PIL starlette uvicorn scipy skimage prometheus_client redis ml_dtypes"
inside = {".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("candor.")}
sys.stdout.write(" ".join(sorted(roots & set(heavy.split()) | inside)))
"""


async def start(address, tmp_path):
    store = Store(tmp_path, lambda folder: None)
    frame = Frame(Metrics(CollectorRegistry()), 1000)
    # No request comes, so no engine is needed.
    return await start_grpc(address, Services(None, None, store, Readiness(), frame))


async def test_a_grpc_port_in_use_is_an_error_and_not_shared(tmp_path):
    first = await start("127.0.0.1:0", tmp_path)
    assert not first.address.endswith(":0")
    with pytest.raises(OSError, match=first.address):
        await start(first.address, tmp_path)
    await first.stop(0)


async def test_an_http_port_in_use_is_an_error():
    async with serving_http(http_app(Readiness()), "127.0.0.1:0") as address:
        with pytest.raises(OSError, match="in use"):
            async with serving_http(http_app(Readiness()), address):
                pass


async def test_a_server_that_starts_or_drains_is_live_but_not_ready():
    readiness = Readiness()
    async with serving_http(http_app(readiness), "127.0.0.1:0") as address:
        seen = []
        for state in ("starting", "ready", "draining"):
            readiness.set(state)
            page = await asyncio.to_thread(get, f"http://{address}/healthz/ready")
            live = await asyncio.to_thread(get, f"http://{address}/healthz/live")
            seen.append((page.status, page.text, live.status))
    assert seen == [
        (503, "starting\n", 200),
        (200, "ready\n", 200),
        (503, "draining\n", 200),
    ]


def has_ipv6():
    """Whether this machine's loopback has IPv6; containers often have none."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="the loopback has no IPv6 here")
async def test_an_ipv6_address_is_served():
    async with serving_http(http_app(Readiness()), "[::1]:0") as address:
        assert address.startswith("[::1]:")
        page = await asyncio.to_thread(get, f"http://{address}/healthz/live")
        assert page.status == 200


def test_the_client_imports_nothing_of_the_server():
    done = subprocess.run(
        [sys.executable, "-c", HEAVY],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "service")},
    )
    assert set(done.stdout.split()) == {
        "candor.client",
        "candor.errors",
        "candor.geometry",
        "candor.protocol",
        "candor.result",
        "candor.sanity",
        "candor.v1",
    }
