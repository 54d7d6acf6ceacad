"""What the exporter promises, on untrained networks; each export has a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from zoo.export import Port, check_axes, save
from zoo.networks.sentences import Dropout, SentenceNet

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    environment = os.environ | {"PYTHONPATH": str(MODELS), "OMP_NUM_THREADS": "1"}
    for kind in ("photos", "sentences"):
        command = [sys.executable, str(HERE / "exporting.py"), kind, str(folder / f"{kind}.onnx")]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    return folder


def session(path):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", ["photos", "sentences"])
def test_onnx_answers_as_torch_at_several_shapes(exported, kind):
    run = session(exported / f"{kind}.onnx")
    name = run.get_inputs()[0].name
    with np.load(exported / f"{kind}.npz") as arrays:
        for i in range(3):
            (logits,) = run.run(None, {name: arrays[f"x{i}"]})
            np.testing.assert_allclose(logits, arrays[f"y{i}"], atol=2e-5)


def test_batch_and_time_stay_dynamic(exported):
    shapes = {
        kind: [value.shape for value in (*run.get_inputs(), *run.get_outputs())]
        for kind in ("photos", "sentences")
        for run in [session(exported / f"{kind}.onnx")]
    }
    assert shapes["photos"] == [["n", 3, 64, 64], ["n", 7]]
    assert shapes["sentences"] == [["n", "t"], ["n", 2]]


@pytest.mark.parametrize("kind", ["photos", "sentences"])
def test_file_holds_no_leftovers(exported, kind):
    model = onnx.load(exported / f"{kind}.onnx")
    graph = model.graph
    assert not graph.value_info
    assert not model.metadata_props
    assert not any(node.doc_string or node.metadata_props for node in graph.node)
    assert {node.op_type for node in graph.node}.isdisjoint(
        {"Constant", "Identity", "Shape", "BatchNormalization", "ConstantOfShape"}
    )
    read = {name for node in graph.node for name in node.input}
    assert all(weight.name in read for weight in graph.initializer)


def test_values_to_explain_have_plain_names(exported):
    for kind, name in (("photos", "features"), ("sentences", "embedding")):
        nodes = onnx.load(exported / f"{kind}.onnx").graph.node
        assert sum(name in node.output for node in nodes) == 1


def test_padding_changes_nothing(exported):
    run = session(exported / "sentences.onnx")
    rng = np.random.default_rng(0)
    for length in (1, 4, 17):
        ids = rng.integers(2, 40, (2, length))
        padded = np.pad(ids, ((0, 0), (0, 23)))
        plain, wide = (run.run(None, {"tokens": x})[0] for x in (ids, padded))
        np.testing.assert_allclose(plain, wide, rtol=0, atol=1e-6)


def test_frozen_axis_is_refused():
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 20])
    model = onnx.ModelProto(graph=onnx.GraphProto(input=[value]))
    check_axes(model, [Port("x", {0: "n"})])
    with pytest.raises(ValueError, match="axis 1 of 'x'"):
        check_axes(model, [Port("x", {0: "n", 1: "t"})])


def test_large_file_is_refused(tmp_path):
    blob = onnx.TensorProto(name="w", raw_data=bytes(8_000_001))
    with pytest.raises(ValueError, match="at most 8000000"):
        save(onnx.ModelProto(graph=onnx.GraphProto(initializer=[blob])), tmp_path / "m.onnx")


def test_gradient_at_padding_is_exactly_zero():
    torch.manual_seed(0)
    net = SentenceNet(40, 12, 16, Dropout()).eval()
    seen = []
    net.embedding.register_forward_hook(lambda *call: seen.append(call[2]) or call[2].retain_grad())
    net(torch.tensor([[5, 6, 7, 0, 0]]))[0, 1].backward()
    gradient = seen[0].grad[0]
    assert torch.all(gradient[3:] == 0)
    assert torch.any(gradient[:3] != 0)
