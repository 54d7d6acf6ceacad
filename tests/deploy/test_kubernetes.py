"""The manifests are valid, strict, and fit the service that they start."""

import subprocess
from pathlib import Path

import pytest
import yaml
from grpc import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from candor.settings import SETTINGS, load_settings
from deploy.rendering import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    Manifest,
    containers,
    objects,
    one,
    overlay,
    render,
    tool,
    with_component,
)
from serving import Server

VARIABLES = {row.variable for row in SETTINGS}
VERSION = "1.37.0"

# All that is used of kinds which Kubernetes itself does not know, by the paths of their fields.
FOREIGN = {
    "PodMonitor": """selector jobLabel podMetricsEndpoints podMetricsEndpoints.port
        podMetricsEndpoints.portNumber podMetricsEndpoints.interval
        podMetricsEndpoints.scrapeTimeout""",
    "PrometheusRule": """groups groups.name groups.rules groups.rules.alert groups.rules.expr
        groups.rules.for groups.rules.labels groups.rules.annotations""",
    "ScaledObject": """scaleTargetRef scaleTargetRef.name pollingInterval cooldownPeriod
        minReplicaCount maxReplicaCount fallback fallback.failureThreshold fallback.replicas
        advanced advanced.horizontalPodAutoscalerConfig
        advanced.horizontalPodAutoscalerConfig.behavior triggers triggers.type triggers.name
        triggers.metricType triggers.metadata""",
    "ClusterServingRuntime": """annotations labels supportedModelFormats supportedModelFormats.name
        supportedModelFormats.version supportedModelFormats.autoSelect protocolVersions
        containers""",
    "InferenceService": """predictor predictor.minReplicas predictor.maxReplicas
        predictor.terminationGracePeriodSeconds predictor.scaleMetric predictor.scaleTarget
        predictor.timeout predictor.model predictor.model.runtime predictor.model.protocolVersion
        predictor.model.modelFormat predictor.model.modelFormat.name
        predictor.model.modelFormat.version predictor.model.storageUri""",
}
OPAQUE = {"selector", "labels", "annotations", "behavior", "containers", "metadata"}


CASES = [*OVERLAYS, *(f"cpu with {name}" for name in COMPONENTS)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every overlay, and `cpu` with every component."""
    found = {name: KUBERNETES / "overlays" / name for name in OVERLAYS}
    for name in COMPONENTS:
        found[f"cpu with {name}"] = with_component(name, tmp_path_factory.mktemp(name))
    return found


@pytest.fixture(params=CASES)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def complaints(texts: dict[str, str], into: Path) -> list[str]:
    """What is wrong with manifests, by the schemas of Kubernetes."""
    program = tool("kubernetes-validate")
    assert program, "kubernetes-validate is missing; `make setup` brings it"
    files = [into / f"{name}.yaml" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text)
    done = subprocess.run(
        [program, "--strict", "--kubernetes-version", VERSION, *map(str, files)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    said = (done.stdout + done.stderr).splitlines()
    foreign = [line for line in said if "find schema for kind" in line]
    unknown = {line.split(" kind ")[1].split()[0] for line in foreign} - FOREIGN.keys()
    errors = [line for line in said if line.startswith("ERROR")]
    assert (done.returncode != 0) == bool(errors), done.stderr
    return [*errors, *unknown]


def test_objects_are_valid(folders: dict[str, Path], tmp_path: Path) -> None:
    # Most objects are in several overlays: once each, since each takes a tenth of a second.
    every = {text: None for folder in folders.values() for text in render(folder).split("\n---\n")}
    assert len(every) > len(folders)
    assert complaints({"all": "\n---\n".join(every)}, tmp_path) == []


def test_validation_notices_what_is_wrong(tmp_path: Path) -> None:
    text = render(KUBERNETES / "overlays" / "cpu")
    swaps = {
        "type": ("replicas: 2", "replicas: two"),
        "field": ("maxUnavailable: 1", "maxUnavailabel: 1"),
        "probe": ("failureThreshold: 6", "failuresThreshold: 6"),
    }
    assert all(right in text for right, _ in swaps.values())
    wrong = {name: text.replace(right, instead) for name, (right, instead) in swaps.items()}
    found = complaints(wrong, tmp_path)
    assert all(any(f"{name}.yaml" in line for line in found) for name in swaps), found


def test_foreign_kinds_use_fields_that_they_have(folder: Path) -> None:
    for manifest in objects(folder):
        if manifest["kind"] in FOREIGN:
            fields = FOREIGN[manifest["kind"]].split()
            assert set(paths(manifest["spec"])) <= set(fields), manifest["kind"]


def paths(value: object, above: str = "") -> list[str]:
    if isinstance(value, list):
        return [path for item in value for path in paths(item, above)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, inner in value.items():
        path = f"{above}.{key}" if above else key
        found += [path, *([] if key in OPAQUE else paths(inner, path))]
    return found


def test_containers_are_confined(folder: Path) -> None:
    """What Kubernetes' profile "restricted" asks for, and a root file system that is read-only."""
    found = objects(folder)
    pods = [m["spec"]["template"]["spec"] for m in found if m["kind"] == "Deployment"]
    for container in containers(found):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        (pod,) = pods or [{"securityContext": context, "automountServiceAccountToken": False}]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        needs, limits = (container["resources"][key] for key in ("requests", "limits"))
        assert needs.keys() == {"cpu", "memory"} <= limits.keys()


def test_settings_exist_and_can_be_read(folder: Path) -> None:
    found = objects(folder)
    for config in (m for m in found if m["metadata"]["name"].startswith("candor-settings")):
        assert config["data"].keys() <= VARIABLES
        load_settings(environ=config["data"])
    for container in containers(found):
        names = {row["name"] for row in container.get("env", ())}
        assert {name for name in names if name.startswith("CANDOR_")} <= VARIABLES
        flags = [arg for arg in container.get("args", ()) if arg.startswith("--")]
        assert {flag.partition("=")[0] for flag in flags} <= {row.flag for row in SETTINGS}


def test_nobody_kills_what_drains() -> None:
    found = overlay("cpu")
    config = next(m for m in found if m["kind"] == "ConfigMap")
    drain_s = load_settings(environ=config["data"]).drain_s
    pod = one(found, "Deployment")["spec"]["template"]["spec"]
    program, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["terminationGracePeriodSeconds"] > float(seconds) + drain_s


def test_probes_ask_for_health_that_is_served(server: Server) -> None:
    names = set()
    for name in ("cpu", "cuda", "kserve"):
        for container in containers(overlay(name)):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    assert container[probe]["grpc"]["port"] == 8001
                    names.add(container[probe]["grpc"]["service"])
    assert names == {"liveness", "readiness"}
    with insecure_channel(server.grpc_target) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        for name in names:
            answer = ask(health_pb2.HealthCheckRequest(service=name), timeout=60)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_ports_are_the_services_own() -> None:
    found = overlay("cpu")
    (container,) = containers(found)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    defaults = load_settings(environ={})
    for name in ("grpc", "http", "metrics"):
        assert str(ports[name]) == getattr(defaults, f"{name}_address").rpartition(":")[2]
    reached = {p["targetPort"] for m in found if m["kind"] == "Service" for p in m["spec"]["ports"]}
    policy = one(found, "NetworkPolicy")["spec"]
    reached |= {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert reached == ports.keys()


def test_selectors_find_the_pods() -> None:
    found = overlay("autoscale")
    labels = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    chosen: list[Manifest] = [
        *(m["spec"]["selector"] for m in found if m["kind"] == "Service"),
        one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one(found, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    assert len(chosen) == 5
    assert all(selector and selector.items() <= labels for selector in chosen)
    ports = {port["name"] for port in containers(found)[0]["ports"]}
    endpoints = one(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert {endpoint["port"] for endpoint in endpoints} <= ports


@pytest.mark.parametrize(
    ("name", "kind"), [("autoscale", "HorizontalPodAutoscaler"), ("autoscale-keda", "ScaledObject")]
)
def test_autoscalers_own_the_number_of_replicas(name: str, kind: str) -> None:
    found = overlay(name)
    deployment = one(found, "Deployment")
    assert "replicas" not in deployment["spec"]
    target = one(found, kind)["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]


def test_rules_of_the_operator_are_those_of_prometheus() -> None:
    plain = KUBERNETES.parent / "prometheus" / "rules" / "candor.yml"
    spec = one(overlay("monitoring"), "PrometheusRule")["spec"]
    assert spec == yaml.safe_load(plain.read_text("utf-8"))
