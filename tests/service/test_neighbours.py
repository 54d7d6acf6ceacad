"""What a row is answered does not depend on what it came with."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from candor.client import Client
from candor.errors import NotFound
from candor.inference.v2 import grpc_service_pb2 as pb
from serving import running
from wire.protocol import Protocol, infer_request, text

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)
WORDS = ("<pad>", "<unk>", "not", "a", "bad", "film", "good", "long")
METHODS = ["gradient", "integrated_gradients", "occlusion", {"lime": {"n_samples": 40}}]
SHORT, LONG, OTHER = "a bad film", "not a bad film not a long film", "good film a"


def words(length: str | int) -> onnx.ModelProto:
    """Scores from the mean over all tokens, padding and its embedding included."""
    weights = {
        "table": RNG.normal(size=(len(WORDS), 5)).astype(np.float32),
        "head": RNG.normal(size=(5, 2)).astype(np.float32),
        "axis": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "tokens"], ["embedded"], "embedding"),
            helper.make_node("Tanh", ["embedded"], ["bent"]),
            helper.make_node("ReduceMean", ["bent", "axis"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "head"], ["logits"]),
        ],
        "words",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["s77", length])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["s77", 2]),
            helper.make_tensor_value_info("bent", TensorProto.FLOAT, ["s77", length, 5]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def features(n_rows: int) -> onnx.ModelProto:
    """A tanh layer and a linear one, for exactly so many rows a run."""
    weights = {
        "w": RNG.normal(size=(4, 6)).astype(np.float32),
        "v": RNG.normal(size=(6, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["bent"]),
        helper.make_node("MatMul", ["bent", "v"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [n_rows, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n_rows, 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write(root: Path, name: str, model: onnx.ModelProto, *, manifest: bool) -> None:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    if manifest:
        (folder.parent / "words.txt").write_text("\n".join(WORDS) + "\n")
        (folder.parent / "model.toml").write_text(
            '[input]\nkind = "tokens"\nname = "tokens"\nvocabulary = "words.txt"\n'
            'pattern = \'\\w+\'\npad = "<pad>"\nunknown = "<unk>"\n'
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("models")
    write(root, "words", words("t"), manifest=True)
    write(root, "twelve", words(12), manifest=True)
    write(root, "pairs", features(2), manifest=False)
    with running(tmp_path_factory.mktemp("log"), root) as server:
        yield server.grpc_target


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Client]:
    with Client(target) as connected:
        yield connected


def test_text_is_explained_in_a_batch_as_it_is_alone_and_found_again(client: Client) -> None:
    alone = client.explain("words", METHODS, texts=[SHORT])
    batch = client.explain("words", METHODS, texts=[LONG, SHORT, OTHER])
    for answer in alone.answers:
        same = batch.of(answer.method, 1)
        assert answer.values.shape == (3,)
        assert same.cache == "hit"
        assert same.cache_key == answer.cache_key
        np.testing.assert_array_equal(same.values, answer.values)
        assert batch.of(answer.method, 0).values.shape == (8,)
        assert batch.of(answer.method, 2).values.shape == (3,)
    assert alone.prediction.scores is not None
    assert batch.prediction.scores is not None
    np.testing.assert_array_equal(batch.prediction.scores[1], alone.prediction.scores[0])


def test_text_is_computed_in_a_batch_as_it_is_alone(client: Client) -> None:
    alone = client.explain("words", METHODS, texts=[SHORT], cache="bypass")
    batch = client.explain("words", METHODS, texts=[SHORT, LONG, OTHER], cache="bypass")
    for answer in alone.answers:
        same = batch.of(answer.method)
        np.testing.assert_allclose(same.values, answer.values, rtol=1e-5, atol=1e-7,
                                   err_msg=f"seed {SEED}")  # fmt: skip
        assert same.trust["score"] == pytest.approx(answer.trust["score"], rel=1e-5)
    # This model does read padding: the batch as one padded run would have said something else.
    padded = client.predict("words", texts=[SHORT, LONG]).scores
    assert padded is not None
    assert alone.prediction.scores is not None
    assert not np.allclose(padded[0], alone.prediction.scores[0], rtol=1e-3)


def test_kept_channels_and_other_outputs_are_as_long_as_their_text(client: Client) -> None:
    keep = [{"gradient": {"channels": "keep"}}]
    found = client.explain("words", keep, texts=[SHORT, LONG], outputs=["bent"])
    assert [answer.values.shape for answer in found.answers] == [(3, 5), (8, 5)]
    bent = found.prediction.outputs["bent"]
    assert bent.shape == (2, 8, 5)
    assert np.all(bent[0, :3] != 0)
    assert np.all(bent[0, 3:] == 0)


def test_callers_segments_reach_as_far_as_the_text(client: Client) -> None:
    lime = [{"lime": {"n_samples": 40}}]
    segments = np.zeros((2, 8), np.int32)
    segments[:, 2:] = 1
    found = client.explain("words", lime, texts=[SHORT, LONG], segments=segments)
    for row, n_tokens in enumerate((3, 8)):
        given = found.of("lime", row).segments
        assert given is not None
        np.testing.assert_array_equal(given, segments[row, :n_tokens])


def test_graph_of_a_fixed_length_gives_a_value_a_token_too(client: Client) -> None:
    alone = client.explain("twelve", METHODS, texts=[SHORT])
    batch = client.explain("twelve", METHODS, texts=[SHORT, LONG])
    for answer in alone.answers:
        assert answer.values.shape == (3,)
        assert batch.of(answer.method).cache == "hit"
        assert batch.of(answer.method, 1).values.shape == (8,)


def test_partial_maps_have_a_value_a_token(client: Client) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    client.explain(
        "twelve",
        ["occlusion"],
        texts=[SHORT, LONG],
        cache="bypass",
        on_progress=lambda p: seen.append((p.row, p.partial.values.shape)) if p.partial else None,
    )
    assert set(seen) == {(0, (3,)), (1, (8,))}


def test_open_inference_protocol_fills_shorter_texts_up(target: str) -> None:
    protocol = Protocol(target)
    asked = {"candor.explain": "occlusion,lime", "candor.lime.n_samples": 40}
    request = infer_request("words", parameters=asked, tokens=text(SHORT, LONG))
    found, response = protocol.infer(request)
    protocol.close()
    assert isinstance(response, pb.ModelInferResponse)
    for name in ("candor.occlusion", "candor.lime", "candor.lime.segments"):
        assert found[name].shape == (2, 8)
    assert np.all(found["candor.occlusion"][0, 3:] == 0)
    assert np.all(found["candor.occlusion"][0, :3] != 0)
    assert found["candor.lime.segments"].tolist()[0] == [0, 1, 2, -1, -1, -1, -1, -1]


def test_unknown_output_is_answered_without_the_exporter_s_names_of_extents(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.explain("words", ["gradient"], texts=[SHORT], output="nope")
    assert str(caught.value) == (
        "the model has no output 'nope'; it has 'logits' float [n, 2], 'bent' float [n, ?, 5]"
    )


def test_every_method_explains_a_graph_that_fixes_its_rows(client: Client) -> None:
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    one, two = client.explain("pairs", METHODS, tensors={"x": x}), client.explain(
        "pairs", METHODS, tensors={"x": x[::-1].copy()}
    )  # fmt: skip
    scores = client.predict("pairs", tensors={"x": x}).scores
    assert scores is not None
    assert one.prediction.scores is not None
    np.testing.assert_allclose(one.prediction.scores, scores, rtol=1e-5)
    for method in ("gradient", "integrated_gradients", "occlusion", "lime"):
        for row in (0, 1):
            assert two.of(method, 1 - row).cache == "hit"
            np.testing.assert_array_equal(one.of(method, row).values,
                                          two.of(method, 1 - row).values)  # fmt: skip
    np.testing.assert_allclose(
        one.of("integrated_gradients").values.sum(),
        one.of("integrated_gradients").trust["figures"]["change"],
        rtol=1e-3,
        atol=1e-4,
    )
