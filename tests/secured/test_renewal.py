"""Certificates are renewed under a running server; a renewal that fails changes nothing."""

import json
import ssl

import grpc
import httpx
import pytest

from candor.client import Client, Tls
from candor.errors import Unavailable
from secured.authority import Pair
from secured.conftest import tls_environ, until
from serving import running


@pytest.fixture
def renewed(tmp_path, pki, models):
    """A server on files that may be replaced: its certificate, and the callers' authority."""
    here = Pair(tmp_path / "here.pem", tmp_path / "here.key")
    pki["server"].put_at(here)
    callers = tmp_path / "callers.pem"
    callers.write_bytes(pki["ours"].cert.read_bytes())
    with running(tmp_path, models, tls_environ(here, callers)) as server:
        yield server, here, callers


def passes(server, pki, authority, ours):
    """Whether a new connection over gRPC, and one over HTTP, is made."""
    pair = pki[ours]
    tls = Tls(pki[authority].cert, pair.cert, pair.key)
    try:
        with Client(server.grpc_target, tls=tls, attempts=1) as client:
            client.models(timeout_s=60)
        over_grpc = True
    except Unavailable:
        over_grpc = False
    context = ssl.create_default_context(cafile=str(pki[authority].cert))
    context.load_cert_chain(pair.cert, pair.key)
    try:
        with httpx.Client(verify=context, timeout=60) as web:
            over_http = web.get(f"{server.http_url}/v2/health/live").status_code == 200
    except httpx.HTTPError:
        over_http = False
    return over_grpc, over_http


def logged(server, event):
    lines = server.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in found if record["event"] == event]


def test_certificate_and_authorities_are_renewed_without_a_restart(renewed, pki):
    server, here, callers = renewed
    assert passes(server, pki, "ours", "client") == (True, True)
    tls = Tls(pki["ours"].cert, pki["client"].cert, pki["client"].key)
    with Client(server.grpc_target, tls=tls, attempts=1) as standing:
        assert standing.models(timeout_s=60)

        # A key that is no key: what was is used on, and the log says why.
        good = here.key.read_bytes()
        here.key.write_bytes(b"no key")
        until(lambda: passes(server, pki, "ours", "client") and logged(server, NOT_RENEWED))
        assert passes(server, pki, "ours", "client") == (True, True)
        assert "no certificate and private key" in logged(server, NOT_RENEWED)[-1]["reason"]
        here.key.write_bytes(good)

        # Another's certificate: who trusts only the first authority turns away.
        pki["strange server"].put_at(here)
        until(lambda: passes(server, pki, "strange", "client") == (True, True))
        assert passes(server, pki, "ours", "client") == (False, False)

        # Other callers: who came with a certificate of the first authority is turned away.
        callers.write_bytes(pki["strange"].cert.read_bytes())
        until(lambda: passes(server, pki, "strange", "stranger") == (True, True))
        assert passes(server, pki, "strange", "client") == (False, False)

        # What stands is left standing.
        assert standing.models(timeout_s=60)

    # Strangers write nothing into the log but what candor writes.
    with grpc.insecure_channel(server.grpc_target) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)
    assert server.stop() == 0
    assert [line for line in server.log.read_text().splitlines() if line[:1] != "{"] == []


NOT_RENEWED = "not renewed: what was read before is used on"
