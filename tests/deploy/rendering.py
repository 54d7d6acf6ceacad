"""The manifests as a cluster would get them: rendered by kubectl, or else by kustomize."""

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from serving import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())

Manifest = dict[str, Any]


def tool(name: str) -> str | None:
    """Where a program is, those that `make setup` brings included."""
    ours = ROOT / ".cache" / "deploy" / "bin"
    return shutil.which(name, path=f"{ours}{os.pathsep}{os.environ['PATH']}")


@lru_cache
def render(folder: Path) -> str:
    """What a kustomization comes to, as YAML."""
    kubectl, kustomize = tool("kubectl"), tool("kustomize")
    assert kubectl or kustomize, "neither kubectl nor kustomize is there; `make setup` brings one"
    command = [kustomize, "build"] if kustomize else [str(kubectl), "kustomize"]
    done = subprocess.run([*command, str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Fields that are deprecated are said here.
    assert done.stderr == ""
    return done.stdout


def objects(folder: Path) -> list[Manifest]:
    """The rendered objects."""
    return list(yaml.safe_load_all(render(folder)))


def overlay(name: str) -> list[Manifest]:
    """The objects of one of our overlays."""
    return objects(KUBERNETES / "overlays" / name)


def with_component(name: str, folder: Path) -> Path:
    """A kustomization in an empty folder: the overlay `cpu` and one component."""
    away = Path(os.path.relpath(KUBERNETES, folder))
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "namespace": "candor",
                "resources": [str(away / "overlays" / "cpu")],
                "components": [str(away / "components" / name)],
            }
        )
    )
    return folder


def one(found: list[Manifest], kind: str, name: str = "candor") -> Manifest:
    """The object of a kind and a name."""
    (manifest,) = [m for m in found if m["kind"] == kind and m["metadata"]["name"] == name]
    return manifest


def containers(found: list[Manifest]) -> list[Manifest]:
    """Every container of every deployment and serving runtime, init containers included."""
    specs = [m["spec"]["template"]["spec"] for m in found if m["kind"] == "Deployment"]
    specs += [m["spec"] for m in found if m["kind"] == "ClusterServingRuntime"]
    return [c for spec in specs for c in [*spec.get("initContainers", ()), *spec["containers"]]]
