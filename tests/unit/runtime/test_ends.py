"""Which inputs of a model of several are explained, which are held, and why a model is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from candor.errors import InvalidInput
from candor.explain.parts import rows_of_parts
from candor.result import ModelId
from candor.runtime.files import read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.model import Model, ModelPolicy
from candor.runtime.session import SessionPolicy
from unit.runtime.builders import FLOAT, INT64, model, value, write_model

LARGE = 2**53 + 1


def summed(second: onnx.ValueInfoProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """scores = a w + what `nodes` make of `b`, called `of_b`."""
    return model(
        [helper.make_node("MatMul", ["a", "w"], ["of_a"]), *nodes,
         helper.make_node("Add", ["of_a", "of_b"], ["scores"])],
        inputs=[value("a", FLOAT, ["n", 4]), second],
        outputs=[value("scores", FLOAT, ["n", 3])],
        initializers=[numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )  # fmt: skip


def loaded(folder: Path, proto: onnx.ModelProto, manifest: str = "") -> Model:
    (folder / "model.toml").write_text(manifest, encoding="utf-8")
    file = read_model(write_model(folder, proto))
    policy = ModelPolicy(SessionPolicy(("cpu",)), 10**6, lambda *_: None)
    return Model(ModelId("m", "1", file.digest), file, load_manifest(folder), policy)


CAST = [helper.make_node("Cast", ["b"], ["of_b"], to=TensorProto.FLOAT)]
SAME = [helper.make_node("Identity", ["b"], ["of_b"])]


def test_floats_are_explained_and_whole_numbers_held(tmp_path: Path) -> None:
    found = loaded(tmp_path, summed(value("b", INT64, ["n", 3]), CAST))
    assert found.explained_inputs == ("a",)
    assert found.kind == "tabular"
    x = {"a": np.ones((2, 4), np.float32), "b": np.array([[1, 2, 3], [4, 5, 6]])}
    subject, rows = found.laid(x)
    assert rows.shape == (2, 7)
    np.testing.assert_array_equal(rows_of_parts(rows, subject.geometry)[0], x["a"])
    np.testing.assert_allclose(subject.predict(rows).score, found.run(x)["scores"])


def test_an_input_that_the_scores_do_not_depend_on_is_no_part_of_a_row(tmp_path: Path) -> None:
    proto = summed(value("b", FLOAT, ["n", 3]), SAME)
    proto.graph.node.append(helper.make_node("Relu", ["c"], ["beside"]))
    proto.graph.input.append(value("c", FLOAT, ["n", 2]))
    proto.graph.output.append(value("beside", FLOAT, ["n", 2]))
    found = loaded(tmp_path, proto)
    assert found.explained_inputs == ("a", "b")
    x = {name: np.ones((1, size), np.float32) for name, size in (("a", 4), ("b", 3), ("c", 2))}
    assert found.laid(x)[1].shape == (1, 7)
    subject, rows = found.laid(x, "beside")
    assert rows.shape == (1, 2)
    assert [part.name for part in subject.geometry.parts] == ["c"]


def test_a_whole_number_that_a_row_cannot_hold_is_refused(tmp_path: Path) -> None:
    found = loaded(tmp_path, summed(value("b", INT64, ["n", 3]), CAST))
    x = {"a": np.ones((1, 4), np.float32), "b": np.array([[1, -LARGE, 0]])}
    with pytest.raises(InvalidInput, match=f"input 'b' holds -{LARGE}; .* up to {LARGE - 1}"):
        found.laid(x)


@pytest.mark.parametrize(
    ("shape", "manifest", "reason"),
    [
        ([1, 3], "", "input 'b' has no axis for the rows"),
        ([], "", "input 'b' has no axis for the rows"),
        (["n", 3, 1, 1, 1], "", "input 'b' has 5 axes"),
        (["n", 3], "[explain]\nembedding = 'of_a'\n", "explain.embedding in model.toml is for"),
    ],
)
def test_why_a_model_of_several_inputs_is_not_explained(
    tmp_path: Path, shape: list[object], manifest: str, reason: str
) -> None:
    nodes = SAME
    if len(shape) == 5:
        nodes = [helper.make_node("Flatten", ["b"], ["of_b"])]
    found = loaded(tmp_path, summed(value("b", FLOAT, shape), nodes), manifest)
    assert {reason in str(why) for why in found.methods.values()} == {True}


def test_the_manifest_tells_of_the_input_that_it_names(tmp_path: Path) -> None:
    manifest = "[input]\nkind = 'tabular'\nname = 'b'\nfeatures = ['x', 'y', 'z']\n"
    found = loaded(tmp_path, summed(value("b", FLOAT, ["n", 3]), SAME), manifest)
    assert [found.geometry(name).features for name in ("a", "b")] == [(), ("x", "y", "z")]
