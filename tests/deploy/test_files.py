"""The files for containers fit the service; `deploy/testing` builds and runs them."""

import fnmatch
import json
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from candor.runtime.heap import _MALLOPT
from candor.settings import SETTINGS, load_settings
from deploy.rendering import tool
from serving import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
TARGETS = ("cpu", "cuda")
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


def chain(target: str) -> list[tuple[str, str]]:
    """The instructions that make a target: those of the stages that it stands on, and its own."""
    named = {stage[0][1].split()[-1]: stage for stage in stages()[1:]}
    first, *own = named[target]
    below = first[1].split()[0]
    return [*(chain(below) if below in named else ()), *own]


def of(word: str, target: str = "cpu") -> list[str]:
    return [rest for name, rest in chain(target) if name == word]


def environment(target: str = "cpu") -> dict[str, str]:
    pairs = (pair.partition("=") for env in of("ENV", target) for pair in shlex.split(env))
    return {name: value for name, _, value in pairs}


def test_every_stage_stands_on_the_base_that_the_build_argument_names() -> None:
    first, *others = stages()
    assert [word for word, _ in first] == ["ARG"]
    names = ["${BASE}"]
    for stage in others:
        below, _, name = stage[0][1].split()
        assert below in names
        names.append(name)
    assert names[-1] == "cpu", "what is built where no target is named"
    assert set(TARGETS) <= set(names)


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_candor_itself_as_nobody_in_particular(target: str) -> None:
    assert [json.loads(rest) for rest in of("ENTRYPOINT", target)] == [["candor"]]
    assert [json.loads(rest) for rest in of("CMD", target)] == [["serve"]]
    (user,) = of("USER", target)
    assert all(int(number) > 0 for number in user.split(":"))
    words = [word for word, _ in chain(target)]
    assert "RUN" not in words[words.index("USER") :], "what it wrote would belong to the user"
    copied = [rest for rest in of("COPY", target) if rest.startswith("--from=")]
    *face, packages = copied
    assert packages == f"--from={target}-packages /opt/candor /opt/candor"
    assert [rest.split()[:2] for rest in face] == [
        ["--from=typeface", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"],
        ["--from=typeface", "/usr/share/doc/fonts-dejavu-core/copyright"],
    ]
    assert not any("--chown" in rest for rest in of("COPY", target))


def test_targets_differ_in_the_runtime_and_in_nothing_else() -> None:
    cpu, cuda = ([*chain(f"{target}-packages")] for target in TARGETS)
    assert [(word, rest.replace("cuda.txt", "serve.txt")) for word, rest in cuda] == cpu
    locked = [
        dict(re.findall(r"^([a-z0-9_-]+)==(\S+)", (ROOT / rest).read_text(), re.MULTILINE))
        for rest in ("requirements/serve.txt", "requirements/cuda.txt")
    ]
    only = {name for name, version in locked[0].items() if locked[1].get(name) != version}
    assert only == {"onnxruntime"}
    more = locked[1].keys() - locked[0].keys()
    assert all(name == "onnxruntime-gpu" or name.startswith("nvidia-") for name in more), more
    assert locked[1]["onnxruntime-gpu"] == locked[0]["onnxruntime"]


def test_health_check_of_the_image_is_that_of_compose() -> None:
    (rest,) = of("HEALTHCHECK")
    words = json.loads(rest[rest.index("[") :])
    assert ["CMD", *words] == [
        word.replace('"', "'") for word in COMPOSE["services"]["candor"]["healthcheck"]["test"]
    ]


def test_settings_of_the_image_exist_and_reach_every_interface() -> None:
    ours = {name: value for name, value in environment().items() if name.startswith("CANDOR_")}
    assert ours.keys() <= VARIABLES
    addresses = {value for name, value in ours.items() if name.endswith("_ADDRESS")}
    assert addresses == {f"0.0.0.0:{port}" for port in PORTS}
    assert {port for rest in of("EXPOSE") for port in rest.split()} == PORTS
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


def test_dockerfile_passes_hadolint() -> None:
    hadolint = tool("hadolint")
    assert hadolint, "hadolint is missing; `make setup` brings it"
    done = subprocess.run([hadolint, str(DOCKERFILE)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_packages_of_the_image_are_the_locked_ones() -> None:
    installs = [
        rest for stage in stages() for word, rest in stage if word == "RUN" and "install" in rest
    ]
    for line in " && ".join(installs).split(" && "):
        if "pip install" in line or "pip wheel" in line:
            assert "--require-hashes" in line or "--no-index" in line, line


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda p: p.name)
def test_scripts_can_be_read_by_any_shell(script: Any) -> None:
    done = subprocess.run(["sh", "-n", str(script)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
