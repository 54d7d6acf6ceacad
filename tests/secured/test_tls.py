"""TLS on gRPC and HTTP, with real certificates: who gets in, and who does not."""

import json
import socket
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from candor import errors
from candor.client import AsyncClient, Client, Tls
from candor.client.connection import channel_credentials
from candor.opening import open_tls
from candor.settings import Settings
from cli.running import candor
from secured.authority import Authority
from secured.conftest import MODEL
from wire.protocol import get

ROWS = {"image": np.zeros((1, 1, 28, 28), np.float32)}


def trusting(pki, authority="ours", ours="client"):
    pair = pki[ours] if ours else None
    return Tls(pki[authority].cert, pair and pair.cert, pair and pair.key)


def context(pki, authority="ours", ours="client"):
    made = ssl.create_default_context(cafile=str(pki[authority].cert))
    if ours:
        made.load_cert_chain(pki[ours].cert, pki[ours].key)
    return made


def test_a_caller_with_a_certificate_is_answered(mutual, pki):
    with Client(mutual.grpc_target, tls=trusting(pki)) as client:
        client.wait_ready(20)
        assert client.predict(MODEL, tensors=ROWS).rows


async def test_the_asynchronous_client_too_with_pem_in_memory(mutual, pki):
    parts = trusting(pki)
    tls = Tls(parts.ca.read_bytes(), parts.cert.read_bytes(), parts.key.read_bytes())
    async with AsyncClient(mutual.grpc_target, tls=tls) as client:
        assert (await client.predict(MODEL, tensors=ROWS)).rows


@pytest.mark.parametrize(
    ("authority", "ours"), [("ours", None), ("ours", "stranger"), ("strange", "client")]
)
def test_who_cannot_be_trusted_or_does_not_trust_is_not_connected(mutual, pki, authority, ours):
    tls = trusting(pki, authority, ours)
    with (
        Client(mutual.grpc_target, tls=tls, attempts=1) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.models(timeout_s=60)
    with httpx.Client(verify=context(pki, authority, ours)) as web, pytest.raises(httpx.HTTPError):
        web.get(f"{mutual.http_url}/v2")


def test_in_the_clear_nothing_is_answered(mutual):
    with (
        Client(mutual.grpc_target, attempts=1) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.models(timeout_s=60)
    with httpx.Client() as web, pytest.raises(httpx.HTTPError):
        web.get(mutual.http_url.replace("https", "http") + "/v2")


def shaken(server, pki, target, version):
    """The version that is agreed on with a caller who knows none later than this."""
    mine = context(pki)
    mine.set_ciphers("DEFAULT:@SECLEVEL=0")
    mine.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # these versions are
        mine.maximum_version = version
    host, _, port = target.removeprefix("https://").rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as raw,
        mine.wrap_socket(raw, server_hostname=host) as wrapped,
    ):
        return wrapped.version()


def test_old_versions_of_tls_are_refused(mutual, pki):
    # gRPC hangs up without a word.
    refused = r"ALERT_PROTOCOL_VERSION|UNEXPECTED_EOF"
    for target in (mutual.grpc_target, mutual.http_url):
        with pytest.raises(ssl.SSLError, match=refused):
            shaken(mutual, pki, target, ssl.TLSVersion.TLSv1_1)
        assert shaken(mutual, pki, target, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert shaken(mutual, pki, mutual.grpc_target, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    # Over HTTP, 1.2 would resume the session of a caller who is trusted no more.
    with pytest.raises(ssl.SSLError, match=refused):
        shaken(mutual, pki, mutual.http_url, ssl.TLSVersion.TLSv1_2)


def test_without_certificates_of_callers_1_2_will_do_over_http(pki):
    pair = pki["server"]
    tls = open_tls(Settings(tls_cert=str(pair.cert), tls_key=str(pair.key)))
    assert tls is not None
    assert tls.http_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_http_answers_through_tls(mutual, pki):
    body = {
        "inputs": [
            {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [0.0] * 784}
        ]
    }
    with httpx.Client(verify=context(pki), timeout=60) as web:
        answer = web.post(f"{mutual.http_url}/v2/models/{MODEL}/infer", json=body)
        assert answer.status_code == 200
        assert answer.json()["outputs"]
        assert web.get(f"{mutual.http_url}/healthz/ready").text == "ready\n"


def test_tritonclient_gets_through_with_its_own_ways_of_tls(mutual, pki):
    script = Path(__file__).parent / "triton_session.py"
    done = subprocess.run(
        [
            sys.executable, script, mutual.grpc_target, mutual.http_url.removeprefix("https://"),
            pki["ours"].cert, pki["client"].key, pki["client"].cert, MODEL,
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["grpc"] == report["http"]
    assert len(report["grpc"]) == 10


def test_the_command_line_gets_through(mutual, pki):
    flags = ["--server", mutual.grpc_target, "--tls-ca", str(pki["ours"].cert), "--json"]
    pair = pki["client"]
    done = candor("models", *flags, "--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    assert done.returncode == 0, done.stderr
    assert {model["id"]["name"] for model in json.loads(done.stdout)} == {MODEL, "copy"}


def test_probes_need_neither_certificate_nor_tls(mutual):
    with grpc.insecure_channel(mutual.health_target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        for name in (b"", b"\x0a\x09readiness", b"\x0a\x08liveness"):
            assert check(name, timeout=60) == b"\x08\x01"
        # Nothing else is to be had there.
        for path in (
            "/candor.v1.ModelService/ListModels",
            "/inference.GRPCInferenceService/ServerMetadata",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(b"", timeout=60)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert get(f"{mutual.metrics_url}/healthz/ready").text == "ready\n"
    assert get(f"{mutual.metrics_url}/metrics").status == 200


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_can_be_turned_off(mutual, pki, version):
    credentials = channel_credentials(trusting(pki))
    with grpc.secure_channel(mutual.grpc_target, credentials) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(ask(iter([b""]), timeout=60))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_server_name_stands_in_for_the_host(mutual, pki, tmp_path):
    tls = Tls(pki["ours"].cert, pki["client"].cert, pki["client"].key, "localhost")
    with Client(mutual.grpc_target, tls=tls) as client:
        assert client.models(timeout_s=60)
    other = Tls(pki["ours"].cert, pki["client"].cert, pki["client"].key, "elsewhere.example")
    with (
        Client(mutual.grpc_target, tls=other, attempts=1) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.models(timeout_s=60)


def files_of(pki, tmp_path, case):
    """What an operator may get wrong: settings, and words of the answer."""
    cert, key = pki["server"].cert, pki["server"].key
    nowhere, other = tmp_path / "nowhere.pem", pki["client"].key
    words = tmp_path / "words.pem"
    words.write_text("no PEM at all")
    return {
        "no key": ({"tls_cert": cert}, "tls_key is empty, but tls_cert is given"),
        "no certificate": ({"tls_key": key}, "tls_cert is empty, but tls_key is given"),
        "only callers": ({"tls_client_ca": cert}, "tls_cert is empty, but tls_client_ca is given"),
        "missing": ({"tls_cert": nowhere, "tls_key": key}, f"tls_cert '{nowhere}' cannot be read"),
        "folder": ({"tls_cert": cert, "tls_key": tmp_path}, "Is a directory"),
        "another's": ({"tls_cert": cert, "tls_key": other}, "is not the key of the certificate"),
        "no pem": ({"tls_cert": words, "tls_key": key}, "no certificate and private key in PEM"),
        "no authority": (
            {"tls_cert": cert, "tls_key": key, "tls_client_ca": words},
            f"tls_client_ca '{words}' holds no certificate",
        ),
    }[case]


@pytest.mark.parametrize(
    "case",
    ["no key", "no certificate", "only callers", "missing", "folder", "another's", "no pem",
     "no authority"],
)  # fmt: skip
def test_files_that_cannot_be_used_are_named(pki, tmp_path, case):
    given, said = files_of(pki, tmp_path, case)
    with pytest.raises(errors.InvalidOption) as caught:
        open_tls(Settings(**{name: str(path) for name, path in given.items()}))
    assert said in str(caught.value)


def test_a_key_with_a_password_is_refused_and_asks_nobody(tmp_path):
    made = Authority(tmp_path, "guarded").issue("guarded-server")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:open", "-in", made.key, "-out", locked],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(errors.InvalidOption, match="not encrypted"):
        open_tls(Settings(tls_cert=str(made.cert), tls_key=str(locked)))


def test_a_certificate_that_does_not_fit_ends_the_start_in_a_line(pki, models):
    done = candor(
        "serve", "--model-root", str(models),
        "--tls-cert", str(pki["server"].cert), "--tls-key", str(pki["client"].key),
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not the key of the certificate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("given", [{"cert": b"x"}, {"key": b"x"}, {"ca": "/nowhere.pem"}])
def test_a_client_that_cannot_connect_so_says_it_at_once(given):
    with pytest.raises(errors.InvalidOption):
        Client("127.0.0.1:1", tls=Tls(**given))
