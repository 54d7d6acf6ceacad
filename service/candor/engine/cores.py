"""What this process may use: cores by affinity and cgroup quota, memory by cgroup limit."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["eighth_of_memory", "usable_cores"]

_MOUNT: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_MEMORY_LIMITS: Final = ("memory.max", "memory.limit_in_bytes")


def usable_cores(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Cores by affinity, cut to the tightest CPU quota on the way up the cgroup tree; at least 1.

    Args:
        mount: where the cgroup file system is mounted.
        membership: the file that says which cgroup this process is in.
    """
    affinity = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders(mount, membership) for quota in _quotas(folder)]
    return max(1, min([affinity, *(math.ceil(quota) for quota in quotas)]))


def eighth_of_memory(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """An eighth of the bytes of memory, of the machine or by the tightest limit of a cgroup."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [
        int(text)
        for folder in _folders(mount, membership, "memory")
        for text in (_read(folder / name).strip() for name in _MEMORY_LIMITS)
        if text.isdigit() and int(text) > 0
    ]
    return max(1, min([machine, *limits]) // 8)


def _folders(mount: Path, membership: Path, controller: str = "cpu") -> Iterator[Path]:
    """The cgroup's folder and those above it: version 2 first, then version 1's controller."""
    yield from (mount, mount / controller)
    for line in _read(membership).splitlines():
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if controllers == "" or controller in controllers.split(","):
            root = mount if controllers == "" else mount / controller
            parts = Path(path.lstrip("/")).parts
            yield from (root.joinpath(*parts[: depth + 1]) for depth in range(len(parts)))


def _quotas(folder: Path) -> Iterator[float]:
    """CPUs that a folder's quota allows; nothing where it sets none ("max", -1) or has no file."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    for limit, span in (
        (quota, period),
        (_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()),
    ):
        if limit.isdigit() and span.isdigit() and int(span) > 0 and int(limit) > 0:
            yield int(limit) / int(span)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
