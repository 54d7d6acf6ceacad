"""The files for containers fit the service; `deploy/testing` builds and runs them."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from candor.app import _MALLOPT
from candor.settings import SETTINGS, load_settings
from serving import ROOT, Server

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
VARIABLES = {row.variable for row in SETTINGS}
DEFAULTS = load_settings(environ={})
PORTS = {
    getattr(DEFAULTS, name).rpartition(":")[2]
    for name in ("grpc_address", "http_address", "metrics_address")
}


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, stage by stage; the first list stands before any stage."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    found: list[list[tuple[str, str]]] = [[]]
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append((word, " ".join(rest.split())))
    return found


def of_last_stage(word: str) -> list[str]:
    return [rest for name, rest in stages()[-1] if name == word]


def environment() -> dict[str, str]:
    pairs = (pair.partition("=") for env in of_last_stage("ENV") for pair in shlex.split(env))
    return {name: value for name, _, value in pairs}


def test_every_stage_stands_on_the_base_that_the_build_argument_names() -> None:
    first, *others = stages()
    assert [word for word, _ in first] == ["ARG"]
    assert all(stage[0][1].split()[0] == "${BASE}" for stage in others)


def test_image_runs_candor_itself_as_nobody_in_particular() -> None:
    assert [json.loads(rest) for rest in of_last_stage("ENTRYPOINT")] == [["candor"]]
    assert [json.loads(rest) for rest in of_last_stage("CMD")] == [["serve"]]
    (user,) = of_last_stage("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    words = [word for word, _ in stages()[-1]]
    assert words.index("USER") > max(
        at for at, word in enumerate(words) if word in {"RUN", "COPY"}
    ), "what comes after USER would belong to it"


def test_settings_of_the_image_exist_and_reach_every_interface() -> None:
    ours = {name: value for name, value in environment().items() if name.startswith("CANDOR_")}
    assert ours.keys() <= VARIABLES
    addresses = {value for name, value in ours.items() if name.endswith("_ADDRESS")}
    assert addresses == {f"0.0.0.0:{port}" for port in PORTS}
    assert {port for rest in of_last_stage("EXPOSE") for port in rest.split()} == PORTS
    load_settings(environ=ours)


def test_memory_thresholds_of_the_image_are_those_that_the_service_sets_itself() -> None:
    names = {-1: "MALLOC_TRIM_THRESHOLD_", -2: "MALLOC_TOP_PAD_", -3: "MALLOC_MMAP_THRESHOLD_"}
    wanted = {names[parameter]: str(value) for parameter, value in _MALLOPT}
    assert {k: v for k, v in environment().items() if k.startswith("MALLOC_")} == wanted


def test_what_is_copied_exists_and_is_let_into_the_build() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    kept = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copies = [rest for stage in stages() for word, rest in stage if word == "COPY"]
    for copy in copies:
        if not copy.startswith("--from"):
            for source in copy.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch.fnmatch(source, rule) for rule in kept), source
    assert all((ROOT / rule).exists() for rule in kept)


def test_packages_of_the_image_are_the_locked_ones() -> None:
    installs = [
        rest for stage in stages() for word, rest in stage if word == "RUN" and "install" in rest
    ]
    for line in " && ".join(installs).split(" && "):
        if "pip install" in line or "pip wheel" in line:
            assert "--require-hashes" in line or "--no-index" in line, line


def test_compose_names_settings_that_exist_and_keeps_ports_on_the_loopback() -> None:
    candor = COMPOSE["services"]["candor"]
    load_settings(environ=candor["environment"])
    assert candor["environment"].keys() <= VARIABLES
    assert (ROOT / candor["build"]["context"] / candor["build"]["dockerfile"]).samefile(DOCKERFILE)
    assert {port.rpartition(":")[2] for port in candor["ports"]} == PORTS
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    grace = candor["stop_grace_period"]
    assert float(grace.removesuffix("s")) > DEFAULTS.drain_s


def test_redis_of_compose_is_a_cache_and_no_store() -> None:
    host = COMPOSE["services"]["candor"]["environment"]["CANDOR_REDIS_URL"].split("/")[2]
    redis = COMPOSE["services"][host.partition(":")[0]]
    words = redis["command"]
    given = {words[at]: words[at + 1] for at in range(1, len(words), 2)}
    assert all(isinstance(word, str) for word in words)
    assert given["--save"] == ""
    assert given["--appendonly"] == "no"
    assert given["--maxmemory-policy"] == "allkeys-lru"
    assert given["--maxmemory"].endswith("mb")
    assert given["--protected-mode"] == "no", "Redis would refuse whoever is not on its loopback"
    assert "ports" not in redis


def test_redis_takes_the_command_of_compose(tmp_path: Any) -> None:
    server = shutil.which("redis-server")
    assert server, "redis-server is missing; `make setup` brings it"
    words = COMPOSE["services"]["redis"]["command"][1:]
    socket = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [server, *words, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "eady to accept connections" in line:
                break
        assert any("eady to accept connections" in line for line in said), "".join(said)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_health_check_of_compose_tells_a_server_that_is_ready(server: Server) -> None:
    kind, _, *arguments = COMPOSE["services"]["candor"]["healthcheck"]["test"]
    assert kind == "CMD"
    port = DEFAULTS.http_address.rpartition(":")[2]
    here = [word.replace(f"127.0.0.1:{port}", server.http_url[7:]) for word in arguments]
    assert here != arguments
    assert subprocess.run([sys.executable, *here], check=False, timeout=20).returncode == 0
    nowhere = [word.replace(f"127.0.0.1:{port}", "127.0.0.1:9") for word in arguments]
    done = subprocess.run([sys.executable, *nowhere], check=False, capture_output=True, timeout=20)
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
    (inside,) = [m.split(":")[1] for m in mounts if m.startswith("./deploy/prometheus/")]
    assert f"--config.file={inside}" in COMPOSE["services"]["prometheus"]["command"]


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda p: p.name)
def test_scripts_can_be_read_by_any_shell(script: Any) -> None:
    done = subprocess.run(["sh", "-n", str(script)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
