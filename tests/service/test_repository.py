"""Model folders that are broken, beside one that is not."""

import shutil
from collections.abc import Iterator

import grpc
import numpy as np
import onnx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import TensorProto, helper

from candor.client import Client
from candor.errors import CandorError, InvalidModel, Unsupported
from serving import REPOSITORY, Server, running

ROW = np.zeros((1, 3, 64, 64), np.float32)


def external(location: str) -> bytes:
    """A model whose weight lies in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 2])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "outside", [x], [y], [weight])
    return helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)]
    ).SerializeToString()


def segmenter() -> bytes:
    """A model that gives a picture back: valid, but no classifier."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "pictures", [x], [y])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def odd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(REPOSITORY / "photos", root / "photos")
    whole = (root / "photos" / "1" / "model.onnx").read_bytes()
    (root.parent / "secret.bin").write_bytes(bytes(32))
    for name, content in {
        "truncated": whole[: len(whole) // 2],
        "text": b"this is not an ONNX file",
        "empty": b"",
        "outside": external("../../secret.bin"),
        "absolute": external(str(root.parent / "secret.bin")),
        "missing": external("nowhere.bin"),
        "pictures": segmenter(),
    }.items():
        (root / name).mkdir()
        (root / name / "model.onnx").write_bytes(content)
    (root / "mislabelled").mkdir()
    (root / "mislabelled" / "model.onnx").write_bytes(whole)
    (root / "mislabelled" / "model.toml").write_text('labels = ["cat", "dog"]\n')
    (root / "misspelled").mkdir()
    (root / "misspelled" / "model.onnx").write_bytes(whole)
    (root / "misspelled" / "model.toml").write_text('tittle = "Photographs"\n')
    with running(tmp_path_factory.mktemp("log"), root) as found:
        yield found


@pytest.fixture
def client(odd_server: Server) -> Iterator[Client]:
    with Client(odd_server.grpc_target) as connected:
        yield connected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truncated", "cut short"),
        ("text", "not an ONNX model"),
        ("empty", "is empty"),
        ("outside", "inside the model's folder"),
        ("absolute", "inside the model's folder"),
        ("missing", "does not exist"),
        ("mislabelled", "2 labels"),
        ("misspelled", "title"),
    ],
)
def test_broken_model_says_what_is_broken(client: Client, name: str, said: str) -> None:
    with pytest.raises(CandorError) as caught:
        client.predict(name, tensors={"x": np.zeros((1, 4), np.float32)})
    assert isinstance(caught.value, InvalidModel | Unsupported)
    assert said in caught.value.message


def test_whole_model_beside_broken_ones_is_served(client: Client) -> None:
    assert client.explain("photos", ["cam"], tensors={"image": ROW}).of("cam").values.any()


def test_what_is_no_classifier_predicts_and_says_why_it_is_not_explained(client: Client) -> None:
    x = np.ones((1, 3, 8, 8), np.float32)
    assert client.predict("pictures", tensors={"x": x}, outputs=["y"]).scores is None
    with pytest.raises(CandorError, match="not a classifier"):
        client.explain("pictures", ["gradient"], tensors={"x": x})
    assert all("not a classifier" in reason for reason in client.model("pictures").methods.values())


def test_list_of_models_gives_the_state_of_each(client: Client) -> None:
    states = {model.id.name: (model.state, model.reason) for model in client.models()}
    assert states["photos"] == ("ready", "")
    assert states["truncated"][0] == "unavailable"
    assert "cut short" in states["truncated"][1]


def test_health_is_told_for_each_model(odd_server: Server) -> None:
    with grpc.insecure_channel(odd_server.grpc_target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = {
            name: stub.Check(health_pb2.HealthCheckRequest(service=name)).status
            for name in ("", "readiness", "liveness", "model/photos", "model/truncated")
        }
    assert serving == {
        "": 1, "readiness": 1, "liveness": 1, "model/photos": 1, "model/truncated": 2,
    }  # fmt: skip
