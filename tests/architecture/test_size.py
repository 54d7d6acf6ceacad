from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("service/candor/v1", "service/candor/inference")
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("service/candor", "scripts", "models/zoo", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if not path.relative_to(ROOT).as_posix().startswith(GENERATED)
)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_is_short_enough_to_hold_one_idea(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= 250, f"{path} has {lines} lines"


def test_the_files_are_found() -> None:
    assert Path("service/candor/errors.py") in FILES
