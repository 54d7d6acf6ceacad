"""docker-compose.yml fits the service; `make test-deploy` starts it as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError

from candor.settings import SETTINGS, load_settings
from serving import ROOT, Server

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
TARGETS = ("cpu", "cuda")
VARIABLES = {row.variable for row in SETTINGS}
DEFAULTS = load_settings(environ={})
PORTS = {
    getattr(DEFAULTS, name).rpartition(":")[2]
    for name in ("grpc_address", "http_address", "metrics_address")
}


def test_compose_names_settings_that_exist_and_keeps_ports_on_the_loopback() -> None:
    services = COMPOSE["services"]
    assert {port.rpartition(":")[2] for port in services["candor"]["ports"]} == PORTS
    for candor in (services["candor"], services["candor-cuda"]):
        assert candor["environment"].keys() <= VARIABLES
        drain_s = load_settings(environ=candor["environment"]).drain_s
        assert float(candor["stop_grace_period"].removesuffix("s")) > drain_s
        build = candor["build"]
        assert (ROOT / build["context"] / build["dockerfile"]).samefile(DOCKERFILE)
        assert build.get("target", "cpu") in TARGETS
        assert set(re.findall(r"CANDOR_\w+", " ".join(candor["entrypoint"]))) <= VARIABLES
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        # With podman, what depends on something that is away does not start again.
        assert "depends_on" not in service


def test_redis_of_compose_is_a_cache_and_no_store() -> None:
    redis = COMPOSE["services"]["redis"]
    words = redis["command"]
    given = {words[at]: words[at + 1] for at in range(1, len(words), 2)}
    assert all(isinstance(word, str) for word in words)
    assert given["--save"] == ""
    assert given["--appendonly"] == "no"
    assert given["--maxmemory-policy"] == "allkeys-lru"
    assert given["--maxmemory"].endswith("mb")
    assert "ports" not in redis
    script = " ".join(COMPOSE["services"]["candor"]["entrypoint"])
    assert re.search(r"@redis:6379/", script)


def run_script(service: str, secrets: Path, *words: str) -> list[str]:
    """A service's entry point on this machine: Compose's dollars, and another folder of secrets."""
    entry = COMPOSE["services"][service]["entrypoint"]
    here = [word.replace("$$", "$").replace("/secrets", str(secrets)) for word in entry]
    return [*here, *(word.replace("/secrets", str(secrets)) for word in words)]


def test_redis_takes_the_command_of_compose_and_the_password(tmp_path: Path) -> None:
    """The password is made once; Redis starts with it, and answers nobody without."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    socket = tmp_path / "redis.sock"
    words = COMPOSE["services"]["redis"]["command"]
    assert shutil.which("redis-server"), "redis-server is missing; `make setup` brings it"
    process = subprocess.Popen(
        run_script(
            "redis", secrets, *words,
            "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path),
        ),
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        for _ in range(2):
            subprocess.run(run_script("password", secrets), check=True)
            password = (secrets / "password").read_text()
            assert re.fullmatch("[0-9a-f]{48}", password)
        assert (secrets / "redis.conf").read_text() == f"requirepass {password}\n"
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "eady to accept connections" in line:
                break
        assert any("eady to accept connections" in line for line in said), "".join(said)
        with Redis(unix_socket_path=str(socket), password=password) as known:
            assert known.ping()
        with Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_health_check_of_compose_tells_a_server_that_is_ready(server: Server) -> None:
    kind, _, *arguments = COMPOSE["services"]["candor"]["healthcheck"]["test"]
    assert kind == "CMD"
    port = DEFAULTS.http_address.rpartition(":")[2]
    here = [word.replace(f"127.0.0.1:{port}", server.http_url[7:]) for word in arguments]
    assert here != arguments
    here = [word.replace("timeout=2", "timeout=60") for word in here]  # this machine may be busy
    assert subprocess.run([sys.executable, *here], check=False, timeout=120).returncode == 0
    nowhere = [word.replace(f"127.0.0.1:{port}", "127.0.0.1:9") for word in arguments]
    done = subprocess.run([sys.executable, *nowhere], check=False, capture_output=True, timeout=120)
    assert done.returncode != 0


def test_prometheus_asks_the_port_that_answers_metrics() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; `make setup` brings it from Debian's prometheus package"
    done = subprocess.run(
        [promtool, "check", "config", str(PROMETHEUS)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    }
    (asked,) = jobs["candor"]["dns_sd_configs"]
    assert set(asked["names"]) <= COMPOSE["services"].keys()
    assert str(asked["port"]) == DEFAULTS.metrics_address.rpartition(":")[2]
    mounts = COMPOSE["services"]["prometheus"]["volumes"]
    (inside,) = [m.split(":")[1] for m in mounts if m.startswith("./deploy/prometheus:")]
    command = COMPOSE["services"]["prometheus"]["command"]
    assert f"--config.file={inside}/{PROMETHEUS.name}" in command
