import json
from pathlib import Path

import pytest
from onnx import TensorProto, checker, helper, save

from cli.running import ROOT, candor

PHOTOS = ROOT / "models/repository/photos/1/model.onnx"


@pytest.fixture
def rounding(tmp_path: Path) -> Path:
    """A classifier whose gradient dies in a Round, and whose Erf has a rule or none."""
    graph = helper.make_graph(
        [
            helper.make_node("Round", ["x"], ["whole"]),
            helper.make_node("Gemm", ["whole", "w"], ["scores"]),
        ],
        "rounding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 3], [0.5] * 12)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    path = tmp_path / "rounding.onnx"
    save(model, path)
    return path


def test_a_committed_model_is_told_with_its_operators_layers_and_methods() -> None:
    done = candor("inspect", str(PHOTOS), "--json")
    found = json.loads(done.stdout)
    assert {row["operator"]: row["derivative"] for row in found["operators"]}["Conv"] == "yes"
    assert found["classes"] == 50
    assert found["default_layer"] in {layer["name"] for layer in found["layers"]}
    assert found["methods"]["grad_cam"] is None
    assert len(found["digest"]) == 64


def test_the_manifest_of_the_repository_counts() -> None:
    found = json.loads(candor("inspect", str(PHOTOS), "--json").stdout)
    manifest = (ROOT / "models/repository/photos/model.toml").read_text(encoding="utf-8")
    assert f'layer = "{found["default_layer"]}"' in manifest


def test_what_a_method_cannot_do_is_told_with_the_reason(rounding: Path) -> None:
    found = json.loads(candor("inspect", str(rounding), "--json").stdout)
    assert {row["operator"]: row["derivative"] for row in found["operators"]}["Round"] == "zero"
    assert found["methods"]["grad_cam"]
    assert found["methods"]["gradient"]
    assert found["methods"]["lime"] is None


def test_the_tables_say_the_same(rounding: Path) -> None:
    done = candor("inspect", str(rounding))
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert "zero" in lines["Round"]
    assert "yes" in lines["lime"]
    assert "no " in lines["gradient"]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [(None, 2, "there is no file"), (b"", 1, "broken.onnx"), (b"\x00not onnx", 1, "broken.onnx")],
)
def test_a_file_that_is_no_model_is_an_error_that_says_so(
    tmp_path: Path, content: bytes | None, code: int, says: str
) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    done = candor("inspect", str(path))
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(PHOTOS.read_bytes()[:100_000])
    done = candor("inspect", str(path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_programs_are_measured_against_a_prediction() -> None:
    done = candor("inspect", str(PHOTOS), "--measure", "--json")
    assert done.returncode == 0, done.stderr
    costs = {cost["program"]: cost for cost in json.loads(done.stdout)["costs"]}
    assert list(costs) == [
        "predict", "cam", "grad_cam", "gradient", "integrated_gradients, smooth_grad",
        "lime, occlusion",
    ]  # fmt: skip
    assert costs["predict"]["ratio"] == 1
    # Forward and back cost more than forward alone, and no more than ten times that.
    assert 1 < costs["gradient"]["ratio"] < 10
    assert all(cost["low"] <= cost["ratio"] <= cost["high"] for cost in costs.values())


def test_what_cannot_be_explained_is_not_measured(rounding: Path) -> None:
    done = candor("inspect", str(rounding), "--measure")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "(a " in line]
    assert [line.split(" (")[0] for line in lines] == ["predict", "lime, occlusion"]
