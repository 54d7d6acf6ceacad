"""Two authorities, two models, a server behind TLS and one that asks for keys."""

import hashlib
import time
from shutil import copytree

import pytest

from secured.authority import Authority
from serving import REPOSITORY, running

MODEL = "digits-lenet"

_NAMES = ("all", "one", "twin", "slow", "narrow", "next", "paced")
KEYS = {name: f"candor_{name}" * 3 for name in _NAMES}
FILE = f"""
[[key]]
name = "all"
sha256 = "{{all}}"
control = true

[[key]]
name = "one"
sha256 = ["{{one}}", "{{next}}"]
models = ["{MODEL}", "absent"]
tenant = "shared"

[[key]]
name = "twin"
sha256 = "{{twin}}"
tenant = "shared"

[[key]]
name = "slow"
sha256 = "{{slow}}"
requests_per_s = 0.001
burst = 3

[[key]]
name = "paced"
sha256 = "{{paced}}"
requests_per_s = 5
burst = 1

[[key]]
name = "narrow"
sha256 = "{{narrow}}"
concurrent = 1
"""


def keys_text(**changed):
    """The file, with the hash of every key."""
    return FILE.format(**{
        name: hashlib.sha256(changed.get(name, key).encode()).hexdigest()
        for name, key in KEYS.items()
    })  # fmt: skip


def bearer(name):
    """The header that shows a key."""
    return {"authorization": f"Bearer {KEYS[name]}"}


def until(condition):
    """Wait for what comes in its own time."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="package")
def pki(tmp_path_factory):
    """Certificates of two authorities: ours, and one that nobody has to trust."""
    folder = tmp_path_factory.mktemp("pki")
    ours, strange = Authority(folder, "ours"), Authority(folder, "strange")
    return {
        "ours": ours,
        "strange": strange,
        "server": ours.issue("server"),
        "client": ours.issue("client"),
        "stranger": strange.issue("stranger"),
        "strange server": strange.issue("strange-server"),
    }


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    """A repository of two small models, the second a copy of the first."""
    root = tmp_path_factory.mktemp("models")
    for name in (MODEL, "copy"):
        copytree(REPOSITORY / MODEL, root / name)
    return root


def tls_environ(cert, client_ca=None):
    """The settings of a server with TLS."""
    found = {"CANDOR_TLS_CERT": str(cert.cert), "CANDOR_TLS_KEY": str(cert.key)}
    if client_ca is not None:
        found["CANDOR_TLS_CLIENT_CA"] = str(client_ca)
    return found


@pytest.fixture(scope="package")
def mutual(tmp_path_factory, pki, models):
    """A server that asks for a certificate, with a port for probes."""
    environ = tls_environ(pki["server"], pki["ours"].cert)
    environ |= {"CANDOR_HEALTH_ADDRESS": "127.0.0.1:0", "CANDOR_REFLECTION": "false"}
    with running(tmp_path_factory.mktemp("mutual"), models, environ) as server:
        yield server


@pytest.fixture(scope="package")
def keys_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(keys_text())
    return path


@pytest.fixture(scope="package")
def guarded(tmp_path_factory, models, keys_file):
    environ = {
        "CANDOR_API_KEYS_FILE": str(keys_file),
        "CANDOR_REPOSITORY_MODE": "explicit",
        "CANDOR_LOG_LEVEL": "debug",
        "CANDOR_MAX_MESSAGE_BYTES": "300000",
        "CANDOR_MAX_JSON_BYTES": "20000",
    }
    with running(tmp_path_factory.mktemp("guarded"), models, environ) as server:
        yield server
