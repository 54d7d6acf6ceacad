import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cli.running import candor
from packaged import records
from serving import REPOSITORY, Server

TEXT = "Not a bad film, only a long one."


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "cat.jpg"
    Image.fromarray(data.chelsea()).save(path, quality=95)
    return path


def test_the_everyday_command_writes_a_picture_a_method_and_the_numbers(
    server: Server, cat: Path, tmp_path: Path
) -> None:
    done = candor(
        "explain", str(cat), "--model", "photos", "--methods", "grad_cam,lime",
        "--option", "lime.n_samples=60", "--out", str(tmp_path), "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cat.grad_cam.png", "cat.json", "cat.lime.png",
    ]  # fmt: skip
    with Image.open(cat) as sent:
        width, height = sent.size
    for name in ("cat.grad_cam.png", "cat.lime.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width == width
            assert picture.height > height
        assert str(tmp_path / name) in done.stdout
    record = json.loads((tmp_path / "cat.json").read_text())
    cam, lime = record["answers"]
    assert np.array(cam["values"]).shape == (64, 64)
    assert np.max(cam["values"]) == pytest.approx(1.0)
    assert lime["trust"]["n_evaluations"] == 60
    assert record["view"]["width"] == width
    assert record["top"][0]["label"] in done.stdout


def test_full_trust_is_shown_in_columns_and_written(server: Server) -> None:
    command = (
        "explain", "--text", TEXT, "--model", "sentences", "--methods", "gradient",
        "--server", server.grpc_target,
    )  # fmt: skip
    done = candor(*command, "--trust", "full")
    assert done.returncode == 0, done.stderr
    headings = "method target deletion insertion correlation infidelity sensitivity classes"
    assert headings in [" ".join(line.split()) for line in done.stdout.splitlines()]
    (record,) = json.loads(candor(*command, "--trust", "full", "--json").stdout)
    figures = record["answers"][0]["trust"]["figures"]
    assert f"{figures['deletion_auc']:.3f}" in done.stdout
    assert "deletion" not in candor(*command).stdout
    assert candor(*command, "--trust", "most").returncode == 2


def test_the_words_of_a_text_are_drawn_with_bars_and_numbers(server: Server) -> None:
    done = candor(
        "explain", "--text", TEXT, "--model", "sentences", "--methods", "gradient,lime",
        "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(TEXT) == 2
    bad = next(line for line in done.stdout.splitlines() if line.strip().startswith("bad "))
    assert "█" in bad
    assert "│" in bad


def test_json_holds_what_the_service_answered(server: Server) -> None:
    arguments = (
        "explain", "--text", TEXT, "--model", "sentences", "--methods", "lime", "--json",
        "--server", server.grpc_target,
    )  # fmt: skip
    first, second = (json.loads(candor(*arguments).stdout)[0]["answers"][0] for _ in range(2))
    assert second["cache"] == "hit"
    assert first["values"] == second["values"]
    assert len(first["values"]) == first["trust"]["figures"]["n_segments"]


@pytest.mark.parametrize(("policy", "status"), [("bypass", "bypass"), ("refresh", "miss")])
def test_the_cache_can_be_left_alone_or_renewed(server: Server, policy: str, status: str) -> None:
    arguments = (
        "explain", "--text", TEXT, "--model", "sentences", "--methods", "gradient", "--json",
        "--server", server.grpc_target,
    )  # fmt: skip
    assert candor(*arguments).returncode == 0
    answer = json.loads(candor(*arguments, "--cache", policy).stdout)[0]["answers"][0]
    assert answer["cache"] == status


def test_a_budget_cuts_a_long_explanation_short(server: Server, cat: Path) -> None:
    # A picture, whose draws all differ: a sentence of ten words has only so many to run, and a
    # quick machine is done with them in time.
    done = candor(
        "explain", str(cat), "--model", "photos", "--methods", "lime",
        "--option", "lime.n_samples=100000", "--budget-ms", "300", "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cut short" in done.stdout


def test_the_probability_can_be_explained_instead_of_the_score(server: Server) -> None:
    values = []
    for explained in ("score", "probability"):
        done = candor(
            "explain", "--text", TEXT, "--model", "sentences", "--methods", "gradient", "--json",
            "--explained", explained, "--server", server.grpc_target,
        )  # fmt: skip
        answer = json.loads(done.stdout)[0]["answers"][0]
        assert answer["trust"]["explained"] == explained
        values.append(answer["values"])
    assert values[0] != values[1]


def test_several_targets_are_several_answers_and_pictures(
    server: Server, cat: Path, tmp_path: Path
) -> None:
    done = candor(
        "explain", str(cat), "--model", "photos", "--methods", "grad_cam", "--json",
        "--target", "tabby cat", "--target", "lion", "--target", "tabby cat-lion",
        "--out", str(tmp_path), "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    targets = [answer["target"] for answer in json.loads(done.stdout)[0]["answers"]]
    assert targets == ["tabby cat", "lion", "tabby cat - lion"]
    pictures = {(tmp_path / f"cat.grad_cam.{number}.png").read_bytes() for number in (1, 2, 3)}
    assert len(pictures) == 3


def test_a_tensor_needs_no_name_where_the_model_has_one_input(
    server: Server, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    done = candor(
        "explain", str(tmp_path / "rows.npy"), "--model", "photos", "--methods", "gradient",
        "--json", "--server", server.grpc_target,
    )  # fmt: skip
    records = json.loads(done.stdout)
    assert [record["name"] for record in records] == ["row-1", "row-2"]
    assert np.array(records[1]["answers"][0]["values"]).shape == (64, 64)


def test_predict_prints_labels_and_probabilities(server: Server, cat: Path) -> None:
    done = candor(
        "predict", str(cat), str(cat), "--model", "photos", "--server", server.grpc_target
    )
    assert done.returncode == 0, done.stderr
    assert "cat~2" in done.stdout
    done = candor(
        "predict", str(cat), "--model", "photos", "--json", "--server", server.grpc_target
    )
    top = json.loads(done.stdout)[0]["top"]
    assert len(top) == 5
    assert top[0]["probability"] >= top[1]["probability"]


def test_models_lists_what_is_served_and_describes_one(server: Server) -> None:
    listed = json.loads(candor("models", "--json", "--server", server.grpc_target).stdout)
    committed = {path.parent.name for path in REPOSITORY.glob("*/model.toml")}
    assert {(m["id"]["name"], m["state"]) for m in listed} == {
        (name, "ready") for name in committed
    }
    shown = candor("models", "photos", "--server", server.grpc_target).stdout
    assert "tabby cat" in shown
    assert "FP32 [?, 3, 64, 64]" in shown
    shown = candor("models", "sentences", "--server", server.grpc_target).stdout
    assert "no:" in next(line for line in shown.splitlines() if line.startswith("cam "))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--text", TEXT, "--model", "nothing", "--methods", "lime"), 1, "no model 'nothing'"),
        (("--text", TEXT, "--model", "sentences", "--methods", "shap"), 1, "shap"),
        (("--text", TEXT, "--model", "sentences", "--methods", "cam"), 1, "cam"),
        (
            ("--text", TEXT, "--model", "sentences", "--methods", "lime",
             "--option", "lime.n_samples=-1"), 1, "n_samples",
        ),
        (
            ("--text", TEXT, "--model", "sentences", "--methods", "lime", "--option", "lime.x=1"),
            1, "no option 'x'",
        ),
        (
            ("--text", TEXT, "--model", "sentences", "--methods", "lime", "--option", "x=1"),
            2, "METHOD.NAME=VALUE",
        ),
        (
            ("--text", TEXT, "--model", "sentences", "--methods", "lime",
             "--option", "occlusion.window=1"), 2, "--methods asks for lime",
        ),
        (("--text", TEXT, "--model", "sentences", "--methods", "lime", "--target", "maybe"),
         1, "maybe"),
        (("--model", "sentences", "--methods", "lime"), 2, "name pictures, or texts"),
        (("here.gif", "--model", "photos", "--methods", "lime"), 2, "here.gif is neither"),
        (("absent.png", "--model", "photos", "--methods", "lime"), 2, "absent.png cannot be read"),
        (("--input", "image", "--model", "photos", "--methods", "lime"), 2, "NAME=FILE.npy"),
        (("--methods", "lime"), 2, "--model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_on_one_line(
    server: Server, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = candor("explain", *arguments, "--server", server.grpc_target)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_array_is_a_usage_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rows.npy").write_bytes(b"not numpy")
    done = candor(
        "predict", str(tmp_path / "rows.npy"), "--model", "photos", "--server", server.grpc_target
    )
    assert done.returncode == 2
    assert "rows.npy is not a .npy file" in done.stderr


def test_a_folder_that_cannot_be_written_to_is_found_before_the_service_is_asked(
    cat: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/out")):
        done = candor(
            "explain", str(cat), "--model", "photos", "--methods", "lime", "--out", str(folder),
            "--server", "127.0.0.1:9",
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert f"--out {folder} cannot be written to" in done.stderr


def test_a_service_that_is_not_there_has_an_exit_code_of_its_own() -> None:
    done = candor("models", "--server", "127.0.0.1:9", "--timeout-s", "60")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stderr


def test_time_that_runs_out_has_an_exit_code_of_its_own(server: Server, cat: Path) -> None:
    done = candor(
        "explain", str(cat), "--model", "photos", "--methods", "lime", "--cache", "bypass",
        "--option", "lime.n_samples=100000", "--timeout-s", "1", "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 4


def test_the_address_of_the_server_s_own_setting_is_the_default(server: Server) -> None:
    assert candor("models", CANDOR_GRPC_ADDRESS=server.grpc_target).returncode == 0


def test_a_record_is_drawn_in_bars_here_and_in_the_folder(server: Server, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", records().inputs[:1])
    out = tmp_path / "out"
    command = (
        "explain", str(tmp_path / "rows.npy"), "--model", "adult-mlp", "--methods",
        "occlusion,lime", "--out", str(out), "--server", server.grpc_target,
    )  # fmt: skip
    done = candor(*command, "--format", "svg")
    assert done.returncode == 0, done.stderr
    bar = next(line for line in done.stdout.splitlines() if "capital gain > 0.00" in line)
    assert "█" in bar
    assert {path.suffix for path in out.iterdir()} == {".svg", ".json"}
    assert str(out / "row-1.lime.svg") in done.stdout.replace("\n", "")
    assert candor(*command).returncode == 0
    with Image.open(out / "row-1.lime.png") as picture:
        assert picture.width == 560


def test_a_text_is_written_as_a_page(server: Server, tmp_path: Path) -> None:
    done = candor(
        "explain", "--text", TEXT, "--model", "sentences", "--methods", "gradient",
        "--out", str(tmp_path), "--server", server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "text-1.gradient.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert ">bad</b>" in page
