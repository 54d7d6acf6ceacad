"""The same job on a Ray cluster: actors, nodes and the command itself are killed.

Ray is large: `make test-ray` installs it apart.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from bulk.jobs import SEED, assert_same, bulk, parts, pictures, rows, started, texts
from serving import ROOT, Server

pytestmark = pytest.mark.ray

JOB = ("--model", "sentences", "--methods", "lime,gradient", "--id", "key", "--part-rows", "4",
       "--call-rows", "3", "--option", "lime.n_samples=60", "--cache", "bypass")  # fmt: skip
COUNT = 800


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray has its sockets; their names may not be as long as pytest's folders make them."""
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def nodes(scratch: Path) -> Iterator[dict[str, Any]]:
    """The address of a cluster of two nodes, and their processes."""
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT / "service"), *sys.path])}
    (scratch / "ray").mkdir()
    environ |= {"RAY_TMPDIR": str(scratch), "RAY_USAGE_STATS_ENABLED": "0"}
    log = scratch / "log"
    with log.open("wb") as errors:
        program = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ray_nodes.py")],
            env=os.environ | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        said = next((line for line in program.stdout if line.startswith("{")), None)
        assert said is not None, log.read_text()
        below = psutil.Process(program.pid).children(recursive=True)
        yield json.loads(said)
    finally:
        program.communicate()
    _assert_gone(below)


def _assert_gone(processes: Sequence[psutil.Process]) -> None:
    """Those of Ray's own that nobody tells look for their parent from time to time."""
    until = time.monotonic() + 120
    while left := [one for one in processes if _title(one)]:  # what nobody waits for has no title
        assert time.monotonic() < until, left
        time.sleep(0.1)


def _actors(nodes: Sequence[int]) -> list[psutil.Process]:
    """The actors of nodes, or below any process."""
    found = []
    for pid in nodes:
        try:
            below = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        found += [one for one in below if "MapWorker" in _title(one)]
    return found


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _wait_for(job: subprocess.Popen[str], out: Path, count: int) -> None:
    while len(parts(out)) < count:
        assert job.poll() is None, job.communicate()
        time.sleep(0.01)


def _ended(job: subprocess.Popen[str]) -> str:
    said, errors = job.communicate(timeout=240)
    assert job.returncode == 0, errors
    return said


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts(tmp_path_factory.mktemp("texts") / "texts.jsonl", COUNT)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANDOR_MAX_BATCH_SIZE", "1")
        assert bulk(source, *JOB, "--out", out) == 0
    return out


def _assert_whole(out: Path, whole: Path) -> None:
    assert_same(out, whole)
    assert [row["id"] for row in rows(out)] == [f"k{number}" for number in range(COUNT)]
    assert not list(out.glob(".part-*")), f"CANDOR_SEED={SEED}"


def test_two_nodes_answer_as_one_process(
    nodes: dict[str, Any], source: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = started(source, *JOB, "--out", out, "--ray", nodes["address"], "--report-s", "0")
    at_work: set[int] = set()
    while job.poll() is None and len(at_work) < 2:
        at_work |= {node for node in nodes["nodes"] if _actors([node])}
        time.sleep(0.05)
    said, errors = job.communicate(timeout=240)
    assert job.returncode == 0, errors
    assert at_work == set(nodes["nodes"])
    assert f"{COUNT} rows, in {COUNT // 4} parts" in said
    _assert_whole(out, whole)
    lines = re.findall(rf"^(\d+) of {COUNT} rows, ", errors, re.MULTILINE)
    assert [int(line) for line in lines] == list(range(4, COUNT + 1, 4))
    # Where all is done nobody is asked.
    before = {part: part.stat().st_mtime_ns for part in parts(out)}
    assert bulk(source, *JOB, "--out", out) == 0
    assert {part: part.stat().st_mtime_ns for part in parts(out)} == before


def test_an_actor_and_then_a_node_are_killed(
    nodes: dict[str, Any], source: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = started(source, *JOB, "--out", out, "--ray", nodes["address"])
    _wait_for(job, out, 3)
    actor, *_ = _actors(nodes["nodes"])
    actor.kill()
    _wait_for(job, out, len(parts(out)) + 5)
    psutil.Process(nodes["nodes"][1]).kill()
    at = len(parts(out))
    assert at < COUNT // 4
    _ended(job)
    _assert_whole(out, whole)


def test_the_command_is_killed_and_given_again(
    nodes: dict[str, Any], source: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    on_ray = (source, *JOB, "--out", out, "--ray", nodes["address"])
    job = started(*on_ray)
    _wait_for(job, out, 3)
    job.kill()
    job.communicate()
    assert 3 <= len(parts(out)) < COUNT // 4
    _ended(started(*on_ray))
    _assert_whole(out, whole)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_cluster_of_its_own_ends_with_the_command(
    how: signal.Signals, source: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = started(source, *JOB, "--out", out, "--ray")
    _wait_for(job, out, 2)
    below = psutil.Process(job.pid).children(recursive=True)
    assert len(_actors([job.pid])) == 2
    job.send_signal(how)
    job.communicate(timeout=30)
    if how == signal.SIGINT:
        assert job.returncode == 130
        assert not list(out.glob(".part-*"))
    _assert_gone(below)
    assert len(parts(out)) < COUNT // 4
    assert bulk(source, *JOB, "--out", out) == 0
    _assert_whole(out, whole)


def test_a_chunk_that_kills_whoever_works_on_it_ends_the_job(source: Path, tmp_path: Path) -> None:
    slow = (*JOB[:-4], "--option", "lime.n_samples=20000", "--part-rows", str(COUNT))
    job = started(source, *slow, "--out", tmp_path / "out", "--ray", "--actors", "1")
    tries = tmp_path / "out" / ".part-000000.tries.unfinished"
    seen = 0
    while job.poll() is None:
        found = tries.stat().st_size if tries.exists() else 0
        if found > seen:
            seen = found
            for actor in _actors([job.pid]):
                actor.kill()
        time.sleep(0.05)
    _, errors = job.communicate()
    assert job.returncode == 3, errors
    assert "candor bulk: each of 4 processes that worked on the 800 rows of " in errors


def test_through_a_service_and_rows_that_are_wrong(
    lone_server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "photos", 7)
    (folder / "bad.png").write_bytes(b"none")
    job = (folder, "--model", "photos", "--methods", "grad_cam", "--part-rows", "2")
    job += ("--cache", "bypass", "--server", lone_server.grpc_target)
    assert bulk(*job, "--out", tmp_path / "one") == 0
    said = _ended(started(*job, "--out", tmp_path / "many", "--ray", "--json"))
    assert json.loads(said)["failed"] == 1
    assert_same(tmp_path / "many", tmp_path / "one")
    strict = started(*job, "--out", tmp_path / "strict", "--ray", "--fail-fast")
    _, errors = strict.communicate(timeout=240)
    assert strict.returncode == 1
    assert re.search(r"candor bulk: .*bad\.png, row 0: InvalidInput: ", errors), errors


@pytest.mark.parametrize(
    ("address", "code", "why"),
    [
        ("127.0.0.1:9", 3, "there is no Ray cluster at 127.0.0.1:9: Connection refused"),
        ("head", 1, "'head' is no address of a Ray cluster"),
    ],
)
def test_a_cluster_that_is_not_there(
    address: str, code: int, why: str, source: Path, tmp_path: Path
) -> None:
    job = started(source, *JOB, "--out", tmp_path / "out", "--ray", address)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == code
    assert f"candor bulk: {why}" in errors
    assert not (tmp_path / "out" / "_job.json").exists()
