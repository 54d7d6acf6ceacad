"""What is wrong is said: of a row in its column, of a job before anything is written."""

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from bulk.jobs import bulk, census, parts, pictures, rows, texts, write_csv
from serving import REPOSITORY, ROOT, Server

JOB = ("--model", "sentences", "--methods", "gradient", "--part-rows", "4")


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path]:
    """A source, and a folder in which its job is done."""
    source, out = texts(tmp_path / "texts.jsonl", 6), tmp_path / "out"
    assert bulk(source, *JOB, "--out", out) == 0
    return source, out


def test_bad_rows_leave_the_good_ones_alone(lone_server: Server, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 6)
    (folder / "001.png").write_bytes(b"no picture")
    (folder / "005.png").symlink_to(folder / "nowhere.png")
    server = ("--server", lone_server.grpc_target)
    job = (folder, "--model", "photos", "--methods", "grad_cam", *server)
    assert bulk(*job, "--out", tmp_path / "out") == 0
    found = {row["id"]: row for row in rows(tmp_path / "out")}
    bad = {name: found.pop(name) for name in ("001.png", "005.png")}
    assert bad["001.png"]["error"].startswith("InvalidInput: ")
    assert "No such file" in bad["005.png"]["error"]
    assert all(row["grad_cam"] is row["label"] is None for row in bad.values())
    assert all(row["error"] is None and row["grad_cam"] for row in found.values())
    assert len(found) == 6


def test_a_record_that_the_model_cannot_take_is_a_row(tmp_path: Path) -> None:
    columns = {f"f{number}": column.tolist() for number, column in enumerate(census(5).T)}
    columns["f3"][2] = "nan"
    source = write_csv(tmp_path / "census.csv", columns)
    job = (source, "--model", "adult-mlp", "--methods", "gradient")
    assert bulk(*job, "--out", tmp_path / "out") == 0
    errors = [row["error"] for row in rows(tmp_path / "out")]
    assert [error is None for error in errors] == [True, True, False, True, True]
    assert "holds nan" in errors[2]


def test_if_no_row_can_be_explained_the_code_says_so(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", {"a": [1, 2], "b": [3, 4]})
    job = (source, "--model", "adult-mlp", "--methods", "gradient", "--out", tmp_path / "out")
    assert bulk(*job) == 1
    assert all("14" in row["error"] for row in rows(tmp_path / "out"))


def test_fail_fast_ends_at_the_first_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = texts(tmp_path / "t.jsonl", 6)
    with source.open("a") as file:
        file.write("none\n")
    assert bulk(source, *JOB, "--fail-fast", "--out", tmp_path / "out") == 1
    assert "t.jsonl, row 6: this line is no JSON" in capsys.readouterr().err
    assert [part.name for part in parts(tmp_path / "out")] == ["part-000000.parquet"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--methods", "gradient,lime"), "methods.lime was not given"),
        (("--methods", "lime", "--option", "lime.n_samples=9"), "methods.gradient"),
        (("--option", "gradient.times_input=true"), "methods.gradient.times_input was not given"),
        (("--target", "positive"), "asking.targets was not given"),
        (("--explained", "probability"), 'asking.explained was not given, and is "probability"'),
        (("--trust", "full"), 'asking.trust was "basic", and is "full" now'),
        (("--part-rows", "5"), "part_rows was 4, and is 5 now"),
        (("--id", "key"), 'id was "", and is "key" now'),
        (("--columns", "text"), "columns was []"),
        (("--model", "sentences-rnn"), 'model.name was "sentences", and is "sentences-rnn" now'),
    ],
)
def test_a_job_that_is_another_is_refused(
    begun: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, ...],
    says: str,
) -> None:
    source, out = begun
    assert bulk(source, *JOB, *change, "--out", out) == 1
    assert says in capsys.readouterr().err


def test_what_changes_no_value_may_change(begun: tuple[Path, Path]) -> None:
    source, out = begun
    before = [part.stat().st_mtime_ns for part in parts(out)]
    other = ("--call-rows", "2", "--in-flight", "1", "--cache", "bypass")
    assert bulk(source, *JOB, *other, "--out", out) == 0
    assert [part.stat().st_mtime_ns for part in parts(out)] == before


def test_an_input_that_has_changed_is_refused(
    begun: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = begun
    with source.open("a") as file:
        file.write('{"text": "One more."}\n')
    assert bulk(source, *JOB, "--out", out) == 1
    assert f"{source}.rows was 6, and is 7 now" in capsys.readouterr().err
    other = texts(tmp_path / "other.jsonl", 6)
    assert bulk(other, *JOB, "--out", out) == 1
    assert "inputs was" in capsys.readouterr().err


def test_another_model_of_the_same_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, source = tmp_path / "models", texts(tmp_path / "t.jsonl", 2)
    shutil.copytree(REPOSITORY / "sentences", root / "sentences")
    job = (source, *JOB, "--out", tmp_path / "out", "--model-root", root)
    assert bulk(*job) == 0
    file = root / "sentences" / "1" / "model.onnx"
    proto = onnx.load(file)
    proto.producer_version = "another"
    onnx.save(proto, file)
    assert bulk(*job) == 1
    assert "model.digest was" in capsys.readouterr().err


def test_one_process_at_a_time(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = begun
    with (out / "_job.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert bulk(source, *JOB, "--out", out) == 1
    assert "another candor bulk is writing to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--methods", "grad_cam", "--option", "gradient.x=1"), 2, "but --methods asks for"),
        (("--methods", "magic"), 1, "unknown method 'magic'"),
        (("--target", "cat"), 1, "cat"),
        (("--model", "nothing"), 1, "there is no model 'nothing'"),
        (("--columns", "body"), 1, "there is no column 'body'"),
        (("--server", "host:1", "--model-root", "x"), 2, "--model-root is of no use"),
    ],
)
def test_a_wrong_command_line_writes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    source = write_csv(tmp_path / "t.csv", {"text": ["A film."]})
    assert bulk(source, *JOB, *words, "--out", tmp_path / "out") == code
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("out/*")] in ([], ["_job.lock"])


def test_without_pyarrow_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from candor.cli import main; "
        "sys.exit(main(['bulk', 'x', '--model', 'm', '--methods', 'cam', '--out', 'o']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "service")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install 'candor[bulk]'" in done.stderr


def test_what_the_job_is_can_be_read(begun: tuple[Path, Path]) -> None:
    source, out = begun
    says = json.loads((out / "_job.json").read_text())
    assert (says["model"]["name"], says["methods"]) == ("sentences", {"gradient": {}})
    assert says["inputs"][0]["path"] == str(source)
    assert json.loads((out / "_done.json").read_text()) == {"rows": 6, "failed": 0, "parts": 2}
