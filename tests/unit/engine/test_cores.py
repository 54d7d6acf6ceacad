import os

import pytest

from candor.engine.cores import eighth_of_memory, usable_cores

AFFINITY = len(os.sched_getaffinity(0))
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cgroup(tmp_path, membership, files, count=usable_cores):
    mount = tmp_path / "cgroup"
    for name, text in files.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    mount.mkdir(exist_ok=True)
    (tmp_path / "membership").write_text(membership)
    return count(mount, tmp_path / "membership")


def test_without_a_cgroup_it_is_the_affinity(tmp_path):
    assert usable_cores(tmp_path / "none", tmp_path / "none") == AFFINITY


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, AFFINITY),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, min(2, AFFINITY)),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000\n"}, 1),
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, AFFINITY),  # another's
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"},
            1,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            AFFINITY,
        ),
        ("0::/\n", {"cpu.max": "nonsense"}, AFFINITY),
        ("nonsense", {"cpu.max": "100000 0"}, AFFINITY),
    ],
)
def test_the_tightest_quota_on_the_way_up_counts(tmp_path, membership, files, expected):
    assert cgroup(tmp_path, membership, files) == expected


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {}, MEMORY),
        ("0::/\n", {"memory.max": "max\n"}, MEMORY),
        ("0::/\n", {"memory.max": "4000\n"}, 4000),
        ("0::/a/b\n", {"a/memory.max": "4000\n", "a/b/memory.max": "8000\n"}, 4000),
        ("0::/a\n", {"b/memory.max": "4000\n"}, MEMORY),  # another's
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "4000\n"}, 4000),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, MEMORY),
        ("nonsense", {"memory.max": "-1"}, MEMORY),
    ],
)
def test_an_eighth_of_the_memory_by_the_tightest_limit(tmp_path, membership, files, expected):
    assert cgroup(tmp_path, membership, files, eighth_of_memory) == expected // 8
