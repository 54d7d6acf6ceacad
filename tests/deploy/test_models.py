"""The ways in which models come into a pod, tried with what a pod would run."""

import hashlib
import http.server
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from candor.client import Client
from deploy.rendering import KUBERNETES, containers, objects, one, overlay, with_component
from serving import REPOSITORY, ROOT, running

FETCH = KUBERNETES / "components" / "models-download" / "fetch.py"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL and digest of the committed models, by HTTP."""
    served = tmp_path / "served"
    served.mkdir()
    file = served / "models.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        tar.add(REPOSITORY / "vowels-rnn", "vowels-rnn")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield (
            f"http://127.0.0.1:{server.server_address[1]}/models.tar.gz",
            hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        server.shutdown()
        thread.join()


def fetch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FETCH), *arguments], check=False, capture_output=True, text=True
    )


def test_archive_is_fetched_as_the_init_container_does(
    archive: tuple[str, str], tmp_path: Path
) -> None:
    found = objects(with_component("models-download", tmp_path))
    init, container = containers(found)
    program, script = init["command"]
    assert program == "python"
    mounts = {mount["name"]: mount["mountPath"] for mount in init["volumeMounts"]}
    assert script == f"{mounts['fetch']}/{FETCH.name}"
    (config,) = [m for m in found if m["metadata"]["name"].startswith("candor-fetch-")]
    assert config["data"] == {FETCH.name: FETCH.read_text("utf-8")}
    assert init["image"] == container["image"]

    url, digest = archive
    given = dict(zip(init["args"], (url, digest, str(tmp_path / "models")), strict=True))
    assert list(given)[2] == mounts["models"] == container["volumeMounts"][0]["mountPath"]
    (tmp_path / "models").mkdir()
    done = fetch(*given.values())
    assert done.returncode == 0, done.stderr
    with running(tmp_path, tmp_path / "models") as server, Client(server.grpc_target) as client:
        assert [model.id.name for model in client.models()] == ["vowels-rnn"]


def test_another_archive_is_not_taken(archive: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    done = fetch(archive[0], "0" * 64, str(folder))
    assert done.returncode == 1
    assert archive[1] in done.stderr
    assert list(folder.iterdir()) == []


def test_mounts_lie_where_the_image_looks_for_models(tmp_path: Path) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    for name in ("models-claim", "models-image", "models-download"):
        folder = tmp_path / name
        folder.mkdir()
        found = objects(with_component(name, folder))
        pod = one(found, "Deployment")["spec"]["template"]["spec"]
        (mount,) = pod["containers"][0]["volumeMounts"]
        assert f"CANDOR_MODEL_ROOT={mount['mountPath']} " in dockerfile
        assert mount["readOnly"] is True
        assert mount["name"] in {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("layout", ["bare", "repository"])
def test_runtime_of_kserve_serves_what_is_mounted(layout: str, tmp_path: Path) -> None:
    """Its arguments as KServe fills them in, over each layout that may lie in the mount."""
    mount = tmp_path / "models"
    source = REPOSITORY / "photos"
    if layout == "bare":
        mount.mkdir()
        (mount / "model.onnx").symlink_to(source / "1" / "model.onnx")
        (mount / "model.toml").symlink_to(source / "model.toml")
    else:
        mount.symlink_to(REPOSITORY)
    (runtime,) = containers(overlay("kserve"))
    service = one(overlay("kserve"), "InferenceService", "photos")
    command, *flags = runtime["args"]
    assert command == "serve"
    settings = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert settings["model-root"] == "/mnt/models"
    assert settings["grpc-address"] == f"0.0.0.0:{runtime['ports'][0]['containerPort']}"
    name = settings["model-name"].replace("{{.Name}}", service["metadata"]["name"])
    environ = {"CANDOR_MODEL_NAME": name, "CANDOR_DRAIN_S": settings["drain-s"]}
    with running(tmp_path, mount, environ) as server, Client(server.grpc_target) as client:
        x = np.zeros((1, 3, 64, 64), np.float32)
        found = client.explain("photos", ["grad_cam"], tensors={"image": x})
        assert found.of("grad_cam").values.shape == (64, 64)


def test_services_of_kserve_name_the_runtime() -> None:
    found = overlay("kserve")
    runtime = one(found, "ClusterServingRuntime")["spec"]
    # What KServe demands of a runtime, and Knative of a port that speaks HTTP/2 in plain text.
    (container,) = runtime["containers"]
    assert container["name"] == "kserve-container"
    assert [port["name"] for port in container["ports"]] == ["h2c"]
    (supported,) = runtime["supportedModelFormats"]
    services = [m["spec"]["predictor"] for m in found if m["kind"] == "InferenceService"]
    assert len(services) == 2
    for service in services:
        model = service["model"]
        assert model["runtime"] == "candor"
        assert model["protocolVersion"] in runtime["protocolVersions"]
        assert model["modelFormat"].items() <= supported.items()
        assert service["terminationGracePeriodSeconds"] > 30
