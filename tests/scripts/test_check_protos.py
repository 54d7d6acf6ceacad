"""The check for breaking changes, in repositories of its own, with the real buf."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serving import ROOT

PROTO = Path("protos/candor/v1/tensor.proto")
NO_HOME = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
}  # fmt: skip


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=NO_HOME, check=True, capture_output=True)


def check(folder: Path) -> tuple[int, str]:
    cache = folder / ".cache"
    cache.mkdir(exist_ok=True)
    if not (cache / "buf").exists():
        (cache / "buf").symlink_to(ROOT / ".cache" / "buf")
    home = NO_HOME | {"HOME": str(cache)}
    done = subprocess.run(
        ["sh", "scripts/check_protos.sh"],
        cwd=folder, env=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def change(folder: Path, *, breaking: bool, message: str = "") -> None:
    """Append a field, or take away what somebody may use; committed if there is a message."""
    path = folder / PROTO
    text = path.read_text()
    field = "  // New.\n  int32 another = 15;\n}\n"
    path.write_text(
        text.replace("message Tensor {", "message Block {")
        if breaking
        else text.rstrip().removesuffix("}") + field
    )
    assert path.read_text() != text
    if breaking:
        for other in (folder / "protos/candor/v1").glob("*.proto"):
            other.write_text(
                other.read_text().replace(" Tensor ", " Block ").replace(" Tensor>", " Block>")
            )
    if message:
        git(folder, "commit", "--all", "--message", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A main branch whose only commit brings today's contract."""
    folder = tmp_path / "repository"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/check_protos.sh", folder / "scripts")
    shutil.copy(ROOT / "buf.yaml", folder)
    shutil.copytree(ROOT / "protos", folder / "protos")
    (folder / ".gitignore").write_text(".cache/\n")
    git(folder, "init", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "first")
    return folder


def test_first_version_has_nothing_to_be_compared_with(repository: Path) -> None:
    code, said = check(repository)
    assert code == 0, said
    assert "first version" in said


def test_on_main_the_last_change_of_the_contract_is_what_is_looked_at(repository: Path) -> None:
    change(repository, breaking=False, message="a field more")
    assert check(repository) == (0, "")
    change(repository, breaking=True, message="another name")
    (repository / "README").write_text("other work\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--message", "nothing about the contract")
    code, said = check(repository)
    assert code == 1
    assert 'message "Tensor"' in said
    assert "(a field more) would break" in said


def test_what_is_not_committed_yet_is_looked_at_too(repository: Path) -> None:
    change(repository, breaking=False, message="a field more")
    change(repository, breaking=True)
    assert check(repository)[0] == 1


def test_a_branch_is_compared_with_where_it_left_main(repository: Path) -> None:
    git(repository, "checkout", "-b", "work")
    change(repository, breaking=True, message="another name")
    change(repository, breaking=False, message="a field more")
    code, said = check(repository)
    assert code == 1
    assert "(first) would break" in said


def test_a_shallow_clone_fetches_what_it_lacks_or_says_that_it_cannot(
    repository: Path, tmp_path: Path
) -> None:
    change(repository, breaking=True, message="another name")
    clones = [tmp_path / name for name in ("near", "far")]
    for clone in clones:
        git(tmp_path, "clone", "--depth", "1", repository.as_uri(), str(clone))
    code, said = check(clones[0])
    assert code == 1
    assert "(first) would break" in said
    git(clones[1], "remote", "set-url", "origin", (tmp_path / "gone").as_uri())
    code, said = check(clones[1])
    assert code == 1
    assert "cannot be fetched" in said


def test_without_git_there_is_no_earlier_version(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    code, said = check(repository)
    assert code == 0, said
    assert "not a git checkout" in said
