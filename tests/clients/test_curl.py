"""The curl commands of the documentation, as they stand there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from serving import ROOT, Server

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/clients.md").read_text(), re.DOTALL)
COMMANDS = [
    f"curl -s{command}".strip()
    for block in BLOCKS
    for command in block.split("curl -s")[1:]
    if "127.0.0.1:8000" in command
]
# A part of what each answers, in their order.
SAYS = (
    '"datatype":"INT64"',
    "candor.gradient",
    "candor.grad_cam",
    "predictions",
    "explanations",
    "attributions",
)


@pytest.mark.parametrize(("command", "says"), list(zip(COMMANDS, SAYS, strict=True)), ids=SAYS)
def test_the_command_answers(command: str, says: str, server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.jpg")
    done = subprocess.run(
        ["sh", "-c", command.replace("http://127.0.0.1:8000", server.http_url)],
        capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert "error" not in json.loads(done.stdout)
    assert says in done.stdout
