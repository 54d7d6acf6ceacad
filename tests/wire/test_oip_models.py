"""What the Open Inference Protocol says of server and models."""

import grpc
import pytest

from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as pb


def test_server_is_live_and_ready_and_has_a_name(oip):
    assert oip.call("ServerLive").live
    assert oip.call("ServerReady").ready
    metadata = oip.call("ServerMetadata")
    assert metadata.name == "candor"
    assert metadata.version
    # perf_analyzer goes on to ask for statistics only where it reads this.
    assert "statistics" in metadata.extensions


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("photos", "", True), ("photos", "1", True), ("photos", "9", False), ("fotos", "", False)],
)
def test_a_model_is_ready_if_it_answers(oip, name, version, ready):
    request = pb.ModelReadyRequest(name=name, version=version)
    assert oip.call("ModelReady", request).ready is ready


def test_metadata_lists_the_graphs_own_inputs_and_outputs(oip):
    metadata = oip.call("ModelMetadata", pb.ModelMetadataRequest(name="photos"))
    assert (metadata.name, list(metadata.versions)) == ("photos", ["1"])
    assert metadata.platform == "onnxruntime_onnx"
    (image,) = metadata.inputs
    assert (image.name, image.datatype, list(image.shape)) == ("image", "FP32", [-1, 3, 64, 64])
    assert [output.name for output in metadata.outputs] == ["logits"]


def test_config_leaves_the_batch_axis_out_and_names_the_methods(oip):
    config = oip.call("ModelConfig", pb.ModelConfigRequest(name="photos", version="1")).config
    assert config.max_batch_size > 0
    (image,) = config.input
    assert (image.name, image.data_type, list(image.dims)) == ("image", pb.TYPE_FP32, [3, 64, 64])
    methods = config.parameters["candor.methods"].string_value.split(",")
    assert set(methods) == set(METHODS)
    sentences = oip.call("ModelConfig", pb.ModelConfigRequest(name="sentences")).config
    assert "cam" not in sentences.parameters["candor.methods"].string_value.split(",")


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig"])
def test_an_unknown_version_is_not_found(oip, method):
    request = getattr(pb, f"{method}Request")(name="photos", version="7")
    with pytest.raises(grpc.RpcError) as caught:
        oip.call(method, request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_index_lists_the_repository(oip):
    models = oip.call("RepositoryIndex").models
    assert {(model.name, model.version, model.state) for model in models} >= {
        ("photos", "1", "READY"),
        ("sentences", "1", "READY"),
    }
