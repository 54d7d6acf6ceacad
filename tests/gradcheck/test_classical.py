"""Multi-layer perceptrons as scikit-learn's exporter writes them: labels first, then a ZipMap."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from candor.autodiff import RULES
from candor.result import Array, CamFormula, ModelId
from candor.runtime.files import read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.model import Model, ModelPolicy
from candor.runtime.session import SessionPolicy
from gradcheck.networks import SEED

ML = "ai.onnx.ml"
FEATURES, HIDDEN = 5, 7
RNG = np.random.default_rng(SEED)
SCALERS = {
    "none": [],
    "scaled": [helper.make_node("Scaler", ["X"], ["s"], domain=ML, scale=[2.0, 0.5, 1.0, 3.0, 0.1],
                                offset=[0.5, -1.0, 0.0, 2.0, 1.0])],
    "l1": [helper.make_node("Normalizer", ["X"], ["s"], domain=ML, norm="L1")],
    "l2": [helper.make_node("Normalizer", ["X"], ["s"], domain=ML, norm="L2")],
}  # fmt: skip


def perceptron(scaler: str, labels: list[str] | list[int], *, zipped: bool) -> ModelProto:
    """The graph of skl2onnx: two classes by a sigmoid and its rest, more by a softmax."""
    k = len(labels)
    outputs = 1 if k == 2 else k
    weights = {
        "w1": RNG.standard_normal((FEATURES, HIDDEN)),
        "b1": RNG.standard_normal((1, HIDDEN)),
        "w2": RNG.standard_normal((HIDDEN, outputs)),
        "b2": RNG.standard_normal((1, outputs)),
        "unity": np.ones(()),
    }
    first = SCALERS[scaler]
    source = "s" if first else "X"
    nodes = [
        *first,
        helper.make_node("Cast", [source], ["c"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["c", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"]),
        helper.make_node("Tanh", ["a1"], ["h"]),
        helper.make_node("MatMul", ["h", "w2"], ["m2"]),
        helper.make_node("Add", ["m2", "b2"], ["a2"]),
    ]
    if k == 2:
        nodes += [
            helper.make_node("Sigmoid", ["a2"], ["more"]),
            helper.make_node("Sub", ["unity", "more"], ["less"]),
            helper.make_node("Concat", ["less", "more"], ["p"], axis=1),
        ]
    else:
        nodes.append(helper.make_node("Softmax", ["a2"], ["p"]))
    words = isinstance(labels[0], str)
    kind = TensorProto.STRING if words else TensorProto.INT64
    classes = helper.make_tensor("classes", kind, [k], [str(v).encode() if words else v
                                                        for v in labels])  # fmt: skip
    nodes += [
        helper.make_node("ArgMax", ["p"], ["best"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "best"], ["picked"], domain=ML),
        helper.make_node("Reshape", ["picked", "flat"], ["output_label"]),
    ]
    probability = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, k])
    if zipped:
        names = {"classlabels_strings" if words else "classlabels_int64s": labels}
        nodes.append(helper.make_node("ZipMap", ["p"], ["probability"], domain=ML, **names))
        probability = onnx.ValueInfoProto(name="probability")
        entry = probability.type.sequence_type.elem_type.map_type
        entry.key_type = kind
        entry.value_type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("output_label", kind, [None]), probability],
        [
            *(numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()),
            numpy_helper.from_array(np.array([-1]), "flat"),
            classes,
        ],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def logistic(activation: str, k: int) -> ModelProto:
    """A LinearClassifier as skl2onnx writes a logistic regression of k classes."""
    normalised = activation == "SOFTMAX"
    nodes = [
        helper.make_node(
            "LinearClassifier", ["X"], ["label", "own" if normalised else "p"], domain=ML,
            coefficients=RNG.standard_normal(k * FEATURES).tolist(),
            intercepts=RNG.standard_normal(k).tolist(), classlabels_ints=list(range(k)),
            multi_class=1, post_transform=activation,
        )
    ]  # fmt: skip
    if normalised:
        nodes.append(helper.make_node("Normalizer", ["own"], ["p"], domain=ML, norm="L1"))
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, k]),
        ],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def served(model: ModelProto, folder: Path) -> Model:
    onnx.save(model, folder / "model.onnx")
    file = read_model(folder / "model.onnx")
    policy = ModelPolicy(SessionPolicy(("cpu",)), 10**6, lambda *_: None)
    return Model(ModelId("m", "1", file.digest), file, load_manifest(folder), policy)


def slopes(model: Model, x: Array, target: int) -> Array:
    """Central differences of the service's own scores; float32 leaves about four digits."""
    subject, found = model.subject(), np.zeros(x.shape)
    for feature in range(x.shape[1]):
        step = np.zeros_like(x)
        step[:, feature] = 1e-2
        ahead, behind = (subject.predict(x + side * step).score for side in (1, -1))
        found[:, feature] = (ahead - behind)[:, target].astype(np.float64) / 2e-2
    return found


def test_every_classical_rule_has_a_case():
    cases = {f"{ML}.{node.op_type}" for nodes in SCALERS.values() for node in nodes}
    assert {name for name in RULES if name.startswith(ML)} == cases


@pytest.mark.parametrize("zipped", [True, False], ids=["zip_map", "tensor"])
@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("labels", [["no", "yes"], [0, 1, 2]], ids=["two", "three"])
def test_perceptron_is_predicted_and_explained(tmp_path, labels, scaler, zipped):
    proto = perceptron(scaler, labels, zipped=zipped)
    model = served(proto, tmp_path)
    assert {name for name, why in model.methods.items() if why} == set(get_args(CamFormula))
    assert model.labels == (tuple(map(str, labels)) if zipped else ())
    assert model.activation == ("sigmoid" if len(labels) == 2 else "softmax")
    x = (2 * RNG.standard_normal((6, FEATURES))).astype(np.float32)
    x += np.float32(0.05) * np.sign(x)  # away from the corner of the L1 norm
    outputs = model.run({"X": x})
    plain = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"X": x})
    wanted = np.array([list(row.values()) for row in plain[1]]) if zipped else plain[1]
    np.testing.assert_array_equal(outputs["probability" if zipped else "p"], wanted)
    np.testing.assert_array_equal(outputs["output_label"], plain[0])

    direction = np.zeros((6, len(labels)), np.float32)
    direction[:, 1] = 1
    run = model.subject().gradient(x, direction, "score")
    np.testing.assert_allclose(run.scores.probability, wanted, atol=1e-6, err_msg=f"{SEED=}")
    exact = slopes(model, x, 1)
    tolerance = 5e-3 * np.abs(exact).max()
    np.testing.assert_allclose(run.gradient, exact, rtol=0, atol=tolerance, err_msg=f"{SEED=}")


@pytest.mark.parametrize(
    ("activation", "k", "found"),
    [("SOFTMAX", 3, "softmax"), ("LOGISTIC", 2, "sigmoid"), ("NONE", 4, "softmax")],
)
def test_logistic_regression_is_explained_at_its_scores(tmp_path, activation, k, found):
    proto = logistic(activation, k)
    model = served(proto, tmp_path)
    assert model.activation == found
    assert model.methods["gradient"] is None
    x = RNG.standard_normal((5, FEATURES)).astype(np.float32)
    outputs = model.run({"X": x})
    scores = model.subject().predict(x)
    own = scores.score if activation == "NONE" else scores.probability
    np.testing.assert_allclose(own, outputs["p"], atol=1e-6, err_msg=f"{SEED=}")
    weight = np.array(next(a.floats for a in proto.graph.node[0].attribute
                           if a.name == "coefficients")).reshape(k, FEATURES)  # fmt: skip
    direction = np.zeros((5, k), np.float32)
    direction[:, k - 1] = 1
    run = model.subject().gradient(x, direction, "score")
    np.testing.assert_allclose(run.gradient, np.tile(weight[k - 1], (5, 1)), rtol=1e-5)
