import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from cli.running import ROOT, candor

PHOTOS = ROOT / "models/repository/photos/1/model.onnx"
SENTENCES = ROOT / "models/repository/sentences/1/model.onnx"


def _classifier(path: Path, *nodes: tuple[str, list[str], str]) -> Path:
    """A linear classifier of whatever the nodes make of four numbers."""
    graph = helper.make_graph(
        [
            *(helper.make_node(op, operands, [result]) for op, operands, result in nodes),
            helper.make_node("Gemm", ["h", "w"], ["scores"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [4, 3], np.arange(-5.0, 7.0)),
            helper.make_tensor("many", TensorProto.FLOAT, [], [1e8]),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_committed_convolutional_model_is_exact_in_float64() -> None:
    done = candor("verify", str(PHOTOS), "--json", "--rows", "2", "--directions", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["agrees"]
    assert found["float32_operators"] == []
    assert len(found["slopes"]) == 4
    assert max(slope["error"] for slope in found["slopes"]) < 1e-6
    assert all(one["cosine"] > 0.99 for one in found["served"] + found["unoptimised"])


def test_of_a_recurrent_model_it_says_what_runs_in_float32() -> None:
    done = candor("verify", str(SENTENCES), "--directions", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr + done.stdout
    first, how, *lines = done.stdout.splitlines()
    assert first.endswith("seed 5")
    assert how.startswith("LSTM in float32, for which there is no float64 kernel")
    assert sum("direction" in line and line.endswith("agrees") for line in lines) == 4


def test_the_same_seed_asks_the_same_and_a_target_can_be_chosen(tmp_path: Path) -> None:
    path = str(_classifier(tmp_path / "tanh.onnx", ("Tanh", ["x"], "h")))
    one, other, third = (
        json.loads(candor("verify", path, "--json", "--target", "2", *seed).stdout)["slopes"]
        for seed in (["--seed", "7"], ["--seed", "7"], [])
    )
    assert one == other
    assert one != third
    assert {slope["target"] for slope in one} == {2}


def test_rows_can_be_given(tmp_path: Path) -> None:
    path = _classifier(tmp_path / "tanh.onnx", ("Tanh", ["x"], "h"))
    np.save(tmp_path / "rows.npy", np.zeros((3, 4), np.float32))
    arguments = ["--json", "--directions", "1", "--input", str(tmp_path / "rows.npy")]
    found = json.loads(candor("verify", str(path), *arguments).stdout)
    assert [slope["row"] for slope in found["slopes"]] == [0, 1, 2]


def test_a_kink_beside_the_row_is_got_round_by_shorter_steps(tmp_path: Path) -> None:
    path = _classifier(tmp_path / "relu.onnx", ("Relu", ["x"], "h"))
    np.save(tmp_path / "rows.npy", np.float32([[1e-8, 1, 1, 1]]))
    done = candor("verify", str(path), "--json", "--input", str(tmp_path / "rows.npy"))
    assert done.returncode == 0, done.stdout
    assert any(slope["redraws"] for slope in json.loads(done.stdout)["slopes"])


def test_a_model_that_is_nothing_but_kinks_is_not_passed(tmp_path: Path) -> None:
    nodes = ("Mul", ["x", "many"], "a"), ("Sin", ["a"], "b"), ("Abs", ["b"], "h")
    done = candor("verify", str(_classifier(tmp_path / "kinks.onnx", *nodes)))
    assert done.returncode == 1
    assert "no direction without a kink after 5 redrawn" in done.stdout
    assert "could not be shown" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--target", "3"], 1, "there is no class 3; there are 0 to 2"),
        (["--directions", "0"], 2, "'0' is not a whole number from 1"),
        (["--input", "missing.npy"], 2, "missing.npy is not a .npy file"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    path = _classifier(tmp_path / "tanh.onnx", ("Tanh", ["x"], "h"))
    done = candor("verify", str(path), *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_without_a_gradient_is_refused_with_the_reason(tmp_path: Path) -> None:
    done = candor("verify", str(_classifier(tmp_path / "round.onnx", ("Round", ["x"], "h"))))
    assert done.returncode == 1
    assert "does not depend on 'x' in a differentiable way" in done.stderr


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(PHOTOS.read_bytes()[:50_000])
    done = candor("verify", str(path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
