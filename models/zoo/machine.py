"""The machine that a run has computed on, as far as it matters to what came out."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TypedDict

import torch


class Machine(TypedDict):
    """What a card tells of a machine: its CPU, and how the run used it."""

    cpu: str
    cores: int
    threads: int
    precision: str


def this_machine(precision: str) -> Machine:
    """Return what is known here; `precision` is that of the run's products."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def said(machine: Machine) -> str:
    """Return "Intel(R) Xeon(R) Processor, 2 cores, 1 thread, float32"."""
    counts = ", ".join(
        f"{count} {name}{'s' * (count != 1)}"
        for name, count in (("core", machine["cores"]), ("thread", machine["threads"]))
    )
    return f"{machine['cpu']}, {counts}, {machine['precision']}"


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"
