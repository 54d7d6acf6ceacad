"""The flags of a cluster where Ray is not installed, and where they make no sense."""

import sys
from pathlib import Path

import pytest

from bulk.jobs import bulk, texts

JOB = ("--model", "sentences", "--methods", "gradient")


def test_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not, where it is
    out = tmp_path / "out"
    assert bulk(texts(tmp_path / "t.jsonl", 2), *JOB, "--out", out, "--ray") == 1
    assert capsys.readouterr().err == (
        "candor bulk: the package 'ray' is not installed; this command needs "
        "pip install 'candor[ray]'\n"
    )
    assert not (out / "_job.json").exists()


def test_actors_are_of_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = (texts(tmp_path / "t.jsonl", 2), *JOB, "--out", tmp_path / "out", "--actors", "3")
    assert bulk(*job) == 2
    assert capsys.readouterr().err == "candor bulk: --actors is of no use without --ray\n"
