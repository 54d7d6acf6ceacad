"""Killed, broken off, left without a service: a job goes on where it was."""

import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bulk.jobs import ALONE, SEED, assert_same, bulk, parts, rows, started, texts
from serving import running

JOB = ("--model", "sentences", "--methods", "lime,gradient", "--id", "key", "--part-rows", "4",
       "--call-rows", "3", "--option", "lime.n_samples=60")  # fmt: skip
COUNT = 400


def _wait_for_parts(out: Path, count: int, job: subprocess.Popen[str]) -> None:
    while len(parts(out)) < count:
        assert job.poll() is None, job.communicate()
        time.sleep(0.002)


def test_killed_twice_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    source = texts(tmp_path / "texts.jsonl", COUNT)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert bulk(source, *JOB, "--out", whole) == 0
    seen = 0
    for _ in range(2):
        job = started(source, *JOB, "--out", out)
        _wait_for_parts(out, seen + 1, job)
        time.sleep(rng.random() * 0.05)
        job.kill()
        job.communicate()
        assert seen < len(parts(out)) < len(parts(whole)), f"CANDOR_SEED={SEED}"
        seen = len(parts(out))
    before = {part: part.stat().st_mtime_ns for part in parts(out)}
    assert bulk(source, *JOB, "--out", out) == 0
    assert_same(out, whole)
    assert {part: part.stat().st_mtime_ns for part in before} == before
    assert [row["id"] for row in rows(out)] == [f"k{number}" for number in range(COUNT)]
    assert not list(out.glob("*unfinished*")) + list(out.glob(".part-*"))


def test_interrupted_it_leaves_nothing_half_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = started(texts(tmp_path / "t.jsonl", COUNT), *JOB, "--out", out)
    _wait_for_parts(out, 1, job)
    job.send_signal(signal.SIGINT)
    job.communicate()
    assert job.returncode == 130
    assert not list(out.glob(".part-*"))
    assert not (out / "_done.json").exists()


def test_a_service_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{port.getsockname()[1]}"
    environ = {**ALONE, "CANDOR_GRPC_ADDRESS": address}
    source, out = texts(tmp_path / "texts.jsonl", COUNT), tmp_path / "out"
    with running(tmp_path, environ=environ) as server:
        job = started(source, *JOB, "--out", out, "--server", address)
        _wait_for_parts(out, 1, job)
        server.process.kill()
        server.process.wait()
    assert len(parts(out)) < COUNT // 4
    with running(tmp_path, environ=environ):
        said, errors = job.communicate(timeout=600)
    assert job.returncode == 0, errors
    assert f"{COUNT} rows, in {COUNT // 4} parts" in said
    assert [row["id"] for row in rows(out)] == [f"k{number}" for number in range(COUNT)]


def test_without_a_service_it_ends_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = texts(tmp_path / "t.jsonl", 4)
    lost = ("--server", "127.0.0.1:9", "--attempts", "1")
    assert bulk(source, *JOB, *lost, "--out", tmp_path / "out") == 3
    assert capsys.readouterr().err.startswith("candor bulk: ")
    assert not (tmp_path / "out" / "_job.json").exists()


def test_how_far_it_is_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = texts(tmp_path / "t.jsonl", 9)
    with source.open("a") as file:
        file.write("none\n")
    assert bulk(source, *JOB, "--report-s", "0", "--json", "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    line = r"^(\d+) of 10 rows, [\d.]+/s, \d:\d\d:\d\d left, (\d) failed$"
    lines = re.findall(line, said.err, re.MULTILINE)
    assert [int(rows) for rows, _ in lines] == [3, 4, 7, 8, 10]
    assert [int(failed) for _, failed in lines] == [0, 0, 0, 0, 1]
    assert '"rows": 10, "failed": 1, "parts": 3' in said.out
