"""The workflows run targets of the Makefile alone, with no more rights than they need."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FETCHES = ('eval "$FETCH"', 'eval "$FETCH" && eval "$NODE"')
# What a release writes, and that a signature can say who made it.
WRITES = {("release.yaml", "release"): {"contents": "write", "id-token": "write"}}


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return found


def jobs() -> list[Any]:
    return [
        pytest.param(file, name, job, id=f"{file.stem}-{name}")
        for file in FILES
        for name, job in read(file)["jobs"].items()
    ]


def test_there_is_one_for_changes_and_one_for_releases() -> None:
    assert [file.name for file in FILES] == ["ci.yaml", "release.yaml"]
    # YAML reads a bare `on` as true.
    on = {file.name: read(file)[True] for file in FILES}
    assert on["release.yaml"] == {"push": {"tags": ["v*"]}}
    assert on["ci.yaml"] == {"push": {"branches": ["main"]}, "pull_request": None}


@pytest.mark.parametrize(("file", "name", "job"), jobs())
def test_steps_are_targets_of_the_makefile(file: Path, name: str, job: dict[str, Any]) -> None:
    fetch, *steps = job["steps"]
    assert fetch["run"] in FETCHES
    assert steps
    for step in steps:
        assert step.keys() <= {"run", "env"}, "no action of anybody's"
        make, *words = step["run"].split()
        targets = [word for word in words if "=" not in word]
        assert make == "make"
        assert targets
        assert set(targets) <= TARGETS
        # What somebody outside may choose reaches a shell as a variable only.
        assert "${{" not in step["run"]


@pytest.mark.parametrize(("file", "name", "job"), jobs())
def test_rights_are_the_fewest_and_time_is_bounded(
    file: Path, name: str, job: dict[str, Any]
) -> None:
    assert read(file)["permissions"] == {"contents": "read"}
    assert job.get("permissions", {}) == WRITES.get((file.name, name), {})
    assert job["timeout-minutes"] <= 60
    needed = set(job.get("needs", ()))
    assert needed <= read(file)["jobs"].keys()
    if (file.name, name) in WRITES:
        assert needed == read(file)["jobs"].keys() - {name}, "nothing is released untested"


def test_both_fetch_the_commit_in_the_same_way(tmp_path: Path) -> None:
    """And that way works: it is run on a repository of this machine."""
    (script,) = {read(file)["env"]["FETCH"] for file in FILES}
    origin, work = tmp_path / "ours" / "repository", tmp_path / "work"
    work.mkdir()
    home = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin", "TOKEN": "unused"}
    home |= {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def run(*words: str, **more: str) -> str:
        done = subprocess.run(
            words, cwd=work, env=home | more, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("git", "init", "--quiet", str(origin))
    for message in ("first", "second"):
        run("git", "-C", str(origin), "commit", "--quiet", "--allow-empty", "-m", message)
    wanted = run("git", "-C", str(origin), "rev-parse", "HEAD~")
    run("git", "-C", str(origin), "config", "uploadpack.allowAnySHA1InWant", "true")
    run(
        "sh", "-euc", script,
        GITHUB_SERVER_URL=f"file://{tmp_path}", GITHUB_REPOSITORY="ours/repository",
        GITHUB_SHA=wanted,
    )  # fmt: skip
    assert run("git", "log", "--format=%s") == "first"
