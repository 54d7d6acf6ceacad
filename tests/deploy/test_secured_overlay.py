"""The overlay with TLS and keys starts a candor as it says; the examples of Redis can be opened."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from candor.client import Client, Tls
from candor.engine.redis_client import open_redis
from candor.errors import Unauthenticated
from deploy.rendering import Manifest, containers, objects, one, overlay, with_component
from secured.authority import Authority
from serving import REPOSITORY, Server, running

MODEL = "digits-lenet"
KEY = "candor_" + "k" * 40


@pytest.fixture(scope="module")
def secured() -> list[Manifest]:
    return overlay("secured")


def settings(found: list[Manifest]) -> dict[str, str]:
    (config,) = [m for m in found if m["kind"] == "ConfigMap"]
    data: dict[str, str] = config["data"]
    return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, secured: list[Manifest]) -> Iterator[Server]:
    """A candor with the overlay's settings, its secrets as files where they are mounted."""
    folder = tmp_path_factory.mktemp("secured")
    copytree(REPOSITORY / MODEL, folder / "models" / MODEL)
    pair = Authority(folder, "ours").issue("server")
    # What `kubectl create secret tls` names them, and what `--from-file=keys.toml` does.
    (folder / "tls").mkdir()
    copy(pair.cert, folder / "tls" / "tls.crt")
    copy(pair.key, folder / "tls" / "tls.key")
    (folder / "keys").mkdir()
    digest = sha256(KEY.encode()).hexdigest()
    (folder / "keys" / "keys.toml").write_text(f'[[key]]\nname = "a"\nsha256 = "{digest}"\n')
    here = {
        name: "127.0.0.1:0" if name == "CANDOR_HEALTH_ADDRESS" else value
        for name, value in settings(secured).items()
    }
    mounted = {name: f"{folder}{v}" if v.startswith("/") else v for name, v in here.items()}
    with running(folder, folder / "models", mounted) as found:
        yield found


def test_secrets_are_mounted_where_the_settings_look(secured: list[Manifest]) -> None:
    spec = one(secured, "Deployment")["spec"]["template"]["spec"]
    volumes = {v["name"]: v["secret"]["secretName"] for v in spec["volumes"]}
    (container,) = containers(secured)
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    given = settings(secured)
    for variable, secret in (
        ("CANDOR_TLS_CERT", "candor-tls"),
        ("CANDOR_TLS_KEY", "candor-tls"),
        ("CANDOR_API_KEYS_FILE", "candor-keys"),
    ):
        mount = mounts[str(Path(given[variable]).parent)]
        assert volumes[mount["name"]] == secret
        assert mount["readOnly"]
    # They are readable for the user that candor runs as, and for nobody else.
    assert all(v["secret"]["defaultMode"] == 0o440 for v in spec["volumes"])
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
    assert not [m for m in secured if m["kind"] == "Secret"], "a secret has no place in here"


def test_probes_ask_the_port_without_tls(secured: list[Manifest], server: Server) -> None:
    (container,) = containers(secured)
    probes: list[Any] = [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
    port = int(settings(secured)["CANDOR_HEALTH_ADDRESS"].rpartition(":")[2])
    assert {probe["grpc"]["port"] for probe in probes} == {port}
    assert port in {each["containerPort"] for each in container["ports"]}
    with grpc.insecure_channel(server.health_target) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        for probe in probes:
            wanted = health_pb2.HealthCheckRequest(service=probe["grpc"]["service"])
            assert ask(wanted, timeout=60).status == health_pb2.HealthCheckResponse.SERVING


def test_callers_need_tls_and_a_key(server: Server, tmp_path: Path) -> None:
    target = server.grpc_target.replace("127.0.0.1", "localhost")
    tls = Tls(ca=server.log.parent / "ours.pem")
    with Client(target, tls=tls, api_key=KEY) as known:
        assert [model.id.name for model in known.models()] == [MODEL]
    with Client(target, tls=tls) as stranger, pytest.raises(Unauthenticated):
        stranger.models()


@pytest.mark.parametrize(("name", "port"), [("redis-sentinel", 26379), ("redis-cluster", 6379)])
async def test_redis_examples_can_be_opened_and_reached(
    name: str, port: int, tmp_path: Path
) -> None:
    found = objects(with_component(name, tmp_path))
    (container,) = containers(found)
    env = {row["name"]: row for row in container["env"]}
    url, file = env["CANDOR_REDIS_URL"], Path(env["CANDOR_REDIS_PASSWORD_FILE"]["value"])
    assert url.keys() == {"name", "value"}
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == str(file.parent)]
    spec = one(found, "Deployment")["spec"]["template"]["spec"]
    assert {v["name"] for v in spec["volumes"]} == {mount["name"]}
    (tmp_path / "password").write_text("secret\n")
    client = open_redis(url["value"], 0.1, tmp_path / "password")
    await client.aclose()
    assert f":{port}" in url["value"]
    egress = one(found, "NetworkPolicy")["spec"]["egress"]
    assert port in {each["port"] for rule in egress for each in rule["ports"]}
