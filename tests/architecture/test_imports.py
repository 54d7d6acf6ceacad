import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_EVERYTHING = """
import importlib, json, pkgutil, sys
import candor
for module in pkgutil.walk_packages(candor.__path__, "candor."):
    if module.name != "candor.__main__":
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""
_CLIENT = "import json, sys; import candor.client; print(json.dumps(sorted(sys.modules)))"
_COMMANDS = """
import json, sys
import candor.cli.explain, candor.cli.models, candor.cli.predict
print(json.dumps(sorted(sys.modules)))
"""


def _loaded(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "service"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["torch", "sklearn", "pandas", "matplotlib", "lime", "captum"])
def test_nothing_in_the_service_loads(package: str, everything: set[str]) -> None:
    assert package not in everything


@pytest.mark.parametrize(
    "package", ["onnx", "onnxruntime", "PIL", "skimage", "scipy", "redis", "starlette", "rich"]
)
def test_the_client_is_light_and_does_not_load(package: str, client: set[str]) -> None:
    assert package not in client


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "PIL", "skimage", "redis", "starlette"])
def test_the_commands_of_a_client_need_no_server_and_do_not_load(package: str) -> None:
    assert package not in _loaded(_COMMANDS)


def test_the_service_was_really_loaded(everything: set[str]) -> None:
    assert {"onnxruntime", "skimage", "candor.app", "candor.wire.status"} <= everything


@pytest.fixture(scope="module")
def everything() -> set[str]:
    return _loaded(_EVERYTHING)


@pytest.fixture(scope="module")
def client() -> set[str]:
    return _loaded(_CLIENT)
