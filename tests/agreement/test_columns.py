"""scikit-learn's pipelines with an output for each class, against the same with one for all."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from candor.cli.local import open_model
from candor.explain.explainers import in_slices
from candor.explain.options import Gradient, Lime, Occlusion
from candor.explain.question import Question
from candor.explain.steps import ended
from candor.result import Target
from candor.runtime.maps import class_tensors
from candor.runtime.model import Model

MADE = {
    "logistic": lambda: LogisticRegression(max_iter=200),
    "perceptron": lambda: MLPClassifier((6,), max_iter=40),
    "forest": lambda: RandomForestClassifier(4),
}
CLASSES = {"words": ["red", "very white", "sparkling"], "numbers": [-1, 4, 7], "two": ["no", "yes"]}


def served(folder: Path, graph: onnx.ModelProto) -> Model:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return open_model(folder)[1]


@pytest.mark.filterwarnings("ignore")  # it need not converge
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("kind", MADE)
def test_columns_are_explained_as_the_tensor_that_they_are_cut_from(kind, classes, tmp_path, seed):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(60, 4)).astype(np.float32)
    names = np.array(CLASSES[classes])
    pipeline = make_pipeline(StandardScaler(), MADE[kind]())
    pipeline.fit(x, names[np.arange(60) % len(names)])
    apart, whole = (
        served(
            tmp_path / str(way), to_onnx(pipeline, x[:1], options={id(pipeline): {"zipmap": way}})
        )
        for way in ("columns", False)
    )
    order = [str(name) for name in pipeline.classes_]
    assert list(apart.labels) == order, "sorted, as scikit-learn has them"
    assert list(whole.labels) == order if kind != "perceptron" else not whole.labels
    outputs = apart.run({apart.input_name: x[:5]})
    wanted = whole.run({whole.input_name: x[:5]})["probabilities"]
    mark = "i" if names.dtype.kind == "i" else "s"
    columns = [outputs[f"{mark}{name}"] for name in order]
    np.testing.assert_array_equal(np.stack(columns, axis=1), wanted, err_msg=f"seed {seed}")

    assert dict(apart.methods) == dict(whole.methods)
    asked = [Occlusion(), Lime(40)] + [Gradient()] * (apart.methods["gradient"] is None)
    for options in asked:
        question = Question(x[:1], Target(1))
        found, same = (
            ended(in_slices(model.subject(), question, options)) for model in (apart, whole)
        )
        np.testing.assert_array_equal(found.values, same.values, err_msg=f"seed {seed}")
        assert found.trust == same.trust


def test_a_ring_of_nodes_names_no_classes():
    ring = [onnx.helper.make_node("Cast", [a], [b], to=1) for a, b in ("yz", "zy")]
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None])
    empty = onnx.helper.make_node("Identity", [], ["w"])
    graph = onnx.helper.make_graph([*ring, empty], "ring", [], [out])
    assert class_tensors(onnx.helper.make_model(graph)) == ()


@pytest.mark.filterwarnings("ignore")
def test_numbers_that_an_ensemble_has_inside_for_the_classes_are_not_their_names(tmp_path, seed):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(60, 4)).astype(np.float32), np.array([-1, 4, 7])[np.arange(60) % 3]
    some = [(str(n), LogisticRegression(C=n, max_iter=50)) for n in (1, 2)]
    model = VotingClassifier(some, voting="soft", flatten_transform=False).fit(x, y)
    graph = to_onnx(model, x[:1], options={id(model): {"zipmap": False}})
    assert any(node.op_type == "LinearClassifier" for node in graph.graph.node)
    assert "0" not in served(tmp_path / "1", graph).labels


@pytest.mark.filterwarnings("ignore")
def test_columns_that_are_not_all_of_one_tensor_stay_as_they_are(tmp_path, seed):
    draw = np.random.default_rng(seed)
    model = LogisticRegression(max_iter=50).fit(draw.normal(size=(60, 4)), np.arange(60) % 3)
    graph = to_onnx(model, np.zeros((1, 4), np.float32), options={id(model): {"zipmap": "columns"}})
    names = [output.name for output in graph.graph.output]
    assert names == ["output_label", "i0", "i1", "i2"]
    swapped, other = onnx.ModelProto(), onnx.ModelProto()
    for changed in (swapped, other):
        changed.CopyFrom(graph)
    swapped.graph.output[1].name, swapped.graph.output[2].name = "i1", "i0"
    other.producer_name = "another"
    for at, changed in enumerate((swapped, other)):
        apart = served(tmp_path / str(at), changed)
        assert [spec.name for spec in apart.outputs] == [o.name for o in changed.graph.output]
        assert apart.labels == ()
