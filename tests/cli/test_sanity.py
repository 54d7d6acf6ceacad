"""The randomisation test, run as a person runs it, on networks whose verdict is known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from candor.cli import main
from candor.client import Client
from candor.runtime.files import read_model
from candor.runtime.sanity import read_sanity, write_sanity
from candor.sanity import MethodSanity, Sanity
from cli.running import candor
from serving import REPOSITORY, running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one whose gradient is its input, and one that has learnt something."""
    root = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)

    def publish(name: str, text: str, **weights: np.ndarray) -> None:
        graph = onnx.parser.parse_graph(text)
        graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items())
        folder = root / name / "1"
        folder.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / "model.onnx")

    # d/dx of w (x . x) is 2 w x: the input itself, whatever w is
    publish(
        "blind",
        """net (float[n, 200] x) => (float[n, 3] y) {
            square = Mul(x, x)
            axes = Constant<value = int64[1] {1}>()
            energy = ReduceSum<keepdims = 1>(square, axes)
            y = MatMul(energy, w)
        }""",
        w=rng.normal(size=(1, 3)).astype(np.float32),
    )
    publish(
        "seeing",
        """net (float[n, 200] x) => (float[n, 3] y) {
            a = MatMul(x, w1)
            b = Tanh(a)
            y = MatMul(b, w2)
        }""",
        w1=rng.normal(size=(200, 20)).astype(np.float32),
        w2=rng.normal(size=(20, 3)).astype(np.float32),
    )
    return root


def test_a_map_that_is_the_input_itself_does_not_pass_and_a_gradient_does(repository: Path):
    blind = candor("sanity", str(repository / "blind" / "1"), "--seed", "1", "--json")
    assert blind.returncode == 1, blind.stderr
    found = json.loads(blind.stdout)
    by_method = {each["method"]: each for each in found["methods"][::-1]}
    assert not by_method["gradient"]["options"]["times_input"]
    assert by_method["gradient"]["verdict"] == "fails"
    assert by_method["gradient"]["rank_correlation"] == [1.0]
    assert "much as before" in by_method["gradient"]["why"]

    seeing = candor("sanity", str(repository / "seeing" / "1" / "model.onnx"), "--seed", "1")
    line = next(line for line in seeing.stdout.splitlines() if line.startswith("gradient "))
    assert line.split()[-1] == "passes"
    kept = read_sanity(repository / "seeing" / "1")
    assert kept is not None
    assert kept.stages == ("y", "a"), "from the output on"
    gradient = next(each for each in kept.methods if each.method == "gradient")
    assert abs(gradient.rank_correlation[-1]) < 0.5
    assert kept.inputs == "random rows"
    assert seeing.returncode == any(each.verdict == "fails" for each in kept.methods)
    assert gradient.verdict == "passes"


def test_the_result_is_shown_with_the_model_and_said_to_be_of_another_file(
    repository: Path, tmp_path: Path
):
    folder = repository / "seeing" / "1"
    method = MethodSanity("gradient", {"reduction": "abs"}, (0.25, None), None, "passes")
    with running(tmp_path, repository) as server, Client(server.grpc_target) as client:
        digest = client.model("seeing").id.digest
        own = Sanity(digest, "0.1", 7, "random rows", 4, 0.5, ("y", "a"), (method,), 5)
        write_sanity(own, folder)
        model = client.model("seeing")
        assert (model.sanity, model.sanity_stale) == (own, False)
        write_sanity(Sanity("0" * 64, "0.1", 7, "x", 4, 0.5, ("y", "a"), (method,)), folder)
        assert client.model("seeing").sanity_stale
        told = candor("models", "seeing", "--server", server.grpc_target).stdout
        assert "of another file" in told
        for broken in ("", "[]", "{}", '{"model_digest": 3}', "[" * 100_000):
            (folder / "sanity.json").write_text(broken)
            assert client.model("seeing").sanity is None


def test_what_was_asked_is_kept_and_read_back(tmp_path: Path):
    method = MethodSanity("cam", {"layer": "a"}, (0.5,), (0.1,), "undecided", "flat")
    sanity = Sanity("d" * 64, "1.0", 3, "rows", 2, 0.5, ("head",), (method,), 4)
    file = write_sanity(sanity, tmp_path)
    assert read_sanity(tmp_path) == sanity
    assert read_sanity(tmp_path / "nowhere") is None
    earlier = json.loads(file.read_text())
    del earlier["n_draws"]  # as candor wrote it when there was one draw
    file.write_text(json.dumps(earlier))
    assert read_sanity(tmp_path) == replace(sanity, n_draws=1)


def test_own_rows_and_fewer_stages_are_taken_and_nothing_is_written_unless_wanted(tmp_path: Path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32))
    photos = REPOSITORY / "photos" / "1"
    before = read_sanity(photos)
    done = candor(
        "sanity", str(photos), "--input", str(rows), "--stages", "1", "--no-keep", "--seed", "5",
        "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["inputs"], found["n_inputs"], found["seed"]) == ("rows.npy", 2, 5)
    assert len(found["stages"]) == 1
    by_method = {each["method"]: each for each in found["methods"]}
    assert by_method["grad_cam"]["options"]["layer"]
    assert len(by_method["gradient"]["structural_similarity"]) == 1
    assert found["stages"] == ["stem.0/Conv"], "a single stage is all of the weights"
    assert read_sanity(photos) == before


def test_the_last_stage_is_the_mean_over_draws_and_the_stages_before_it_have_one(
    repository: Path,
):
    def found(seed: int, draws: int) -> np.ndarray:
        told = candor(
            "sanity", str(repository / "seeing" / "1"), "--input", str(repository / "rows.npy"),
            "--no-keep", "--seed", str(seed), "--draws", str(draws), "--json",
        ).stdout  # fmt: skip
        assert json.loads(told)["n_draws"] == draws
        return np.array([each["rank_correlation"] for each in json.loads(told)["methods"]])

    np.save(repository / "rows.npy", np.random.default_rng(0).random((2, 200), np.float32))
    one, two, three = (found(seed, 1) for seed in (5, 6, 7))
    together = found(5, 3)
    assert (np.ptp([one, two, three], axis=0)[:, -1] > 0.001).any()
    np.testing.assert_allclose(
        together[:, -1], np.mean([one, two, three], axis=0)[:, -1], atol=1e-4
    )
    assert (together[:, 0] == one[:, 0]).all()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.onnx"], 2, "there is no file"),
        ([str(REPOSITORY / "photos" / "1"), "--draws", "0"], 2, "whole number from 1"),
        ([str(REPOSITORY / "photos" / "1"), "--input", "nowhere.npy"], 2, "nowhere.npy"),
        ([str(REPOSITORY / "photos" / "1"), "--stages", "0"], 2, "whole number from 1"),
    ],
)
def test_what_cannot_be_tested_is_said(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
):
    try:
        found = main(["sanity", *arguments])
    except SystemExit as end:  # of argparse
        found = int(str(end.code))
    assert found == code
    assert says in capsys.readouterr().err


def test_a_model_without_weights_has_nothing_to_randomise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    graph = onnx.parser.parse_graph("net (float[n, 3] x) => (float[n, 3] y) { y = Tanh(x) }")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    assert main(["sanity", str(tmp_path / "model.onnx")]) == 1
    assert "no layer with weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file", sorted(REPOSITORY.glob("*/1/sanity.json")), ids=lambda f: f.parts[-3]
)
def test_what_is_kept_beside_a_committed_model_is_of_that_model(file: Path):
    kept = read_sanity(file.parent)
    assert kept is not None
    digest = read_model(file.parent / "model.onnx").digest
    assert kept.model_digest == digest, f"run: candor sanity {file.parent} --seed 0"
