"""Outputs of every form, through the wire: one logit, labels that exclude nothing, several, maps.

The models are linear, so that what each answer has to be can be written down.
"""

import json
import secrets

import numpy as np
import onnx
import pytest
from onnx import parser

from candor.client import Client
from candor.errors import NotFound, Unsupported
from gradcheck.test_classical import perceptron
from serving import running
from wire.protocol import Protocol, infer_request

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)
ONE = np.array([1.0, -2.0, 0.5, 3.0])
THREE = np.array([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0], [-1.5, 0.5, 2.0], [0.5, 0.75, -0.25]])

_HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
_ONE = f"{_HEAD} g (float[n, 4] x) => (float[n, 1] y) <float[4, 1] w = {{1, -2, 0.5, 3}}>"
_ROWS = "1, -2, 0.5, 0.25, 1, -1, -1.5, 0.5, 2, 0.5, 0.75, -0.25"
_THREE = f"{_HEAD} g (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w = {{{_ROWS}}}>"
MODELS = {
    "one_logit": _ONE + "{ y = MatMul(x, w) }",
    "one_sigmoid": _ONE + "{ s = MatMul(x, w)  y = Sigmoid(s) }",
    "labels": _THREE + "{ s = MatMul(x, w)  y = Sigmoid(s) }",
    "labels_said": _THREE + "{ y = MatMul(x, w) }",
    "mixed": _THREE
    + """{ s = MatMul(x, w)  p = Softmax(s)  n = Neg(s)  q = Softmax(n)
           y = Mean(p, q) }""",
    "mixed_unsaid": _THREE + "{ y = MatMul(x, w) }",
    "several": f"""{_HEAD} g (float[n, 4] x)
        => (int64[n] best, float[n, 3] first, float[n, 2] second, float[n, 2, 2] square)
        <float[4, 3] w = {{{_ROWS}}}, float[4, 2] v = {{1, 2, 3, 4, 5, 6, 7, 8}},
         int64[3] to = {{-1, 2, 2}}> {{
            first = MatMul(x, w)  second = MatMul(x, v)  square = Reshape(x, to)
            best = ArgMax <axis = 1, keepdims = 0>(first) }}""",
}
SIGNED = {"gradient": {"reduction": "signed"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    files = {name: parser.parse_model(text) for name, text in MODELS.items()}
    for name, file in {
        **files,
        "zipped": perceptron("none", ["ash", "elm", "oak"], zipped=True),
    }.items():
        (root / name / "1").mkdir(parents=True)
        onnx.save(file, root / name / "1" / "model.onnx")
    (root / "labels_said" / "model.toml").write_text('activation = "sigmoid"\n')
    (root / "mixed_unsaid" / "model.toml").write_text('activation = "none"\n')
    with running(tmp_path_factory.mktemp("log"), root) as started:
        yield started


@pytest.fixture(scope="module")
def client(server):
    with Client(server.grpc_target) as connected:
        yield connected


@pytest.fixture(scope="module")
def oip(server):
    connected = Protocol(server.grpc_target)
    yield connected
    connected.close()


def rows(n=2, width=4):
    return (0.5 * RNG.normal(size=(n, width))).astype(np.float32)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # a score may lie anywhere near 0


@pytest.mark.parametrize("name", ["one_logit", "one_sigmoid"])
def test_one_logit_counts_two_classes_of_opposite_score(client, name):
    x = rows()
    score = x.astype(np.float64) @ ONE
    found = client.explain(name, [SIGNED], targets=[[1, 0, "1-0"]], tensors={"x": x}, outputs=["y"])
    prediction = found.prediction
    np.testing.assert_allclose(prediction.scores, np.stack([-score, score], 1), **CLOSE)
    np.testing.assert_allclose(prediction.probabilities, sigmoid(prediction.scores), **CLOSE)
    own = score if name == "one_logit" else sigmoid(score)
    np.testing.assert_allclose(prediction.outputs["y"], own[:, None], **CLOSE)
    for answer, wanted in zip(found.answers, [ONE, -ONE, 2 * ONE] * 2, strict=True):
        np.testing.assert_allclose(answer.values, wanted, rtol=1e-5, err_msg=f"seed {SEED}")
    top = client.explain(name, [SIGNED], tensors={"x": x})
    assert [answer.target.plus for answer in top.answers] == (score > 0).astype(int).tolist()


@pytest.mark.parametrize("name", ["one_logit", "one_sigmoid"])
def test_the_probability_of_one_logit_is_its_sigmoid(client, name):
    x = rows(1)
    asked = {"targets": 1, "explained": "probability", "tensors": {"x": x}}
    answer = client.explain(name, [SIGNED], **asked).of("gradient")
    p = sigmoid(x[0].astype(np.float64) @ ONE)
    np.testing.assert_allclose(answer.values, ONE * p * (1 - p), rtol=1e-4, err_msg=f"seed {SEED}")
    assert answer.trust["probability"] == pytest.approx(p, rel=1e-5)
    pair = client.explain(name, ["lime"], targets=[[0, 1]], tensors={"x": x}).answers
    np.testing.assert_allclose(pair[0].values, -pair[1].values, atol=1e-6)
    assert np.abs(pair[0].values).max() > 1e-3


@pytest.mark.parametrize("name", ["labels", "labels_said"])
def test_labels_that_exclude_nothing_have_a_probability_each(client, name):
    x = rows()
    score = x.astype(np.float64) @ THREE
    found = client.explain(name, [SIGNED], targets=[[0, 1, 2]], tensors={"x": x})
    np.testing.assert_allclose(found.prediction.scores, score, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.prediction.probabilities, sigmoid(score), rtol=1e-5)
    for answer in found.answers:
        wanted = THREE[:, answer.target.plus]
        np.testing.assert_allclose(answer.values, wanted, rtol=1e-5, err_msg=f"seed {SEED}")
    asked = {"targets": [[0, 1, 2]], "explained": "probability", "tensors": {"x": x}}
    for answer in client.explain(name, [SIGNED], **asked).answers:
        k = answer.target.plus
        p = sigmoid(score[answer.row, k])
        wanted = THREE[:, k] * p * (1 - p)  # of a softmax the other classes would come in
        np.testing.assert_allclose(answer.values, wanted, rtol=1e-4, err_msg=f"seed {SEED}")


def softmax(score):
    grown = np.exp(score - score.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def test_an_output_of_probabilities_is_not_taken_for_logits(client):
    x = rows()
    score = x.astype(np.float64) @ THREE
    p, q = softmax(score), softmax(-score)
    found = client.explain("mixed", [SIGNED, "occlusion"], targets=1, tensors={"x": x})
    np.testing.assert_allclose(found.prediction.probabilities, (p + q) / 2, rtol=1e-5)
    np.testing.assert_allclose(found.prediction.scores, (p + q) / 2, rtol=1e-5)
    for row, answer in enumerate([found.of("gradient", row) for row in range(2)]):
        slope = [
            (s[row, 1] * (THREE[:, 1] - THREE @ s[row])) * sign for s, sign in ((p, 1), (q, -1))
        ]
        np.testing.assert_allclose(
            answer.values, sum(slope) / 2, rtol=1e-3, atol=1e-6, err_msg=f"seed {SEED}"
        )
    assert client.model("mixed").activation == "none"


def test_the_manifest_can_say_that_an_output_is_of_probabilities(client):
    x = rows()
    found = client.predict("mixed_unsaid", tensors={"x": x})
    np.testing.assert_allclose(found.probabilities, x.astype(np.float64) @ THREE, **CLOSE)


@pytest.mark.parametrize("method", ["lime", "occlusion", "integrated_gradients", "smooth_grad"])
def test_every_method_explains_one_label_of_several(client, method):
    x = rows(1)
    asked = {"targets": 2, "tensors": {"x": x}}
    one, other = (client.explain(name, [method], **asked).of(method)
                  for name in ("labels", "labels_said"))  # fmt: skip
    np.testing.assert_allclose(one.values, other.values, atol=1e-6, err_msg=f"seed {SEED}")
    if method in ("occlusion", "integrated_gradients"):
        np.testing.assert_allclose(one.values, x[0] * THREE[:, 2], rtol=1e-4, atol=1e-6)


def test_of_several_outputs_the_first_of_scores_is_explained_or_the_one_that_is_named(client):
    x = rows(1)
    first = client.explain("several", [SIGNED], targets=1, tensors={"x": x})
    np.testing.assert_allclose(first.answers[0].values, THREE[:, 1], rtol=1e-5)
    second = client.explain("several", [SIGNED], targets=1, tensors={"x": x}, output="second")
    np.testing.assert_allclose(second.answers[0].values, [2, 4, 6, 8], rtol=1e-5)
    with pytest.raises(NotFound, match="'third'"):
        client.explain("several", [SIGNED], tensors={"x": x}, output="third")
    for output in ("best", "square"):
        with pytest.raises(Unsupported, match=output):
            client.explain("several", [SIGNED], tensors={"x": x}, output=output)


def test_outputs_are_named_over_the_open_protocol_too(oip):
    x = rows()
    parameters = {"candor.output": "second", "candor.target": 0, "candor.explain": "gradient",
                  "candor.gradient.reduction": "signed"}  # fmt: skip
    outputs, response = oip.infer(infer_request("several", parameters=parameters, x=x))
    np.testing.assert_allclose(outputs["candor.gradient"], [[1, 3, 5, 7]] * 2, rtol=1e-5)
    assert set(outputs) == {"best", "first", "second", "square", "candor.gradient"}
    trust = json.loads(response.parameters["candor.gradient.trust"].string_param)
    np.testing.assert_allclose(
        [record["score"] for record in trust], x.astype(np.float64) @ [1, 3, 5, 7], rtol=1e-4
    )


def test_a_list_of_dictionaries_is_served_as_its_tensor_and_names_the_classes(client, oip):
    x = rows(2, 5)
    labels = client.model("zipped").labels
    assert len(labels) == 3
    methods = [SIGNED, "occlusion", {"lime": {"n_samples": 60}}]
    found = client.explain("zipped", methods, targets=[[labels[2]]], tensors={"X": x})
    assert {answer.target.plus for answer in found.answers} == {2}
    assert all(np.abs(answer.values).max() > 0 for answer in found.answers)
    outputs, _ = oip.infer(infer_request("zipped", X=x))
    assert outputs["probability"].shape == (2, 3)
    np.testing.assert_allclose(outputs["probability"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(outputs["probability"], found.prediction.probabilities, rtol=1e-5)
