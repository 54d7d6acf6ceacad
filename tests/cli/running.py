"""Run `candor` as a person does: a process, its output, its exit code."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def candor(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CANDOR_")}
    environment |= {"PYTHONPATH": str(ROOT / "service"), "COLUMNS": "100"} | variables
    return subprocess.run(
        [sys.executable, "-m", "candor", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=cwd,
        env=environment,
    )
