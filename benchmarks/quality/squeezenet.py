"""SqueezeNet 1.1 as an ONNX file, from its weights as they lie in the data folder.

Source: Iandola et al. 2016, arXiv:1602.07360, and version 1.1 of its authors' release: fewer
channels in the first layer, and pooling earlier.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from zoo.data import required

__all__ = ["SIDE", "build", "verify"]

SIDE = 224
FOLDER = "weights_squeezenet1.1_nchw"
_POOLED_BEFORE = (0, 2, 4)
"""Fire modules that follow a pooling."""


def build(root: Path) -> onnx.ModelProto:
    """Build the network: image [n, 3, 224, 224], normalised as ImageNet's -> logits [n, 1000].

    Raises:
        MissingDataError: the weights are not under `root`.
    """
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def convolution(number: int, x: str, *, stride: int = 1, pad: int = 0) -> str:
        for part in ("weight", "bias"):
            file = required(root, f"{FOLDER}/weights/squeezenet0_conv{number}_{part}.npy")
            values = np.load(file, allow_pickle=False)
            weights.append(numpy_helper.from_array(values, f"conv{number}.{part}"))
        side = weights[-2].dims[2]
        nodes.append(
            helper.make_node(
                "Conv", [x, f"conv{number}.weight", f"conv{number}.bias"], [f"conv{number}"],
                kernel_shape=[side, side], strides=[stride, stride], pads=[pad] * 4,
            )
        )  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]))
        return f"relu{number}"

    x = convolution(0, "image", stride=2)
    for fire in range(8):
        if fire in _POOLED_BEFORE:
            nodes.append(
                helper.make_node(
                    "MaxPool", [x], [f"pool{fire}"], kernel_shape=[3, 3], strides=[2, 2]
                )
            )
            x = f"pool{fire}"
        squeezed = convolution(1 + 3 * fire, x)
        one, three = convolution(2 + 3 * fire, squeezed), convolution(3 + 3 * fire, squeezed, pad=1)
        nodes.append(helper.make_node("Concat", [one, three], [f"fire{fire}"], axis=1))
        x = f"fire{fire}"
    x = convolution(25, x)
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "squeezenet1.1",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 1000])],
        weights,
    )
    opset = onnx.OperatorSetIdProto(version=17)
    model = onnx.ModelProto(ir_version=9, graph=graph, opset_import=[opset])
    onnx.checker.check_model(model)
    return model


def verify(model: onnx.ModelProto, root: Path) -> None:
    """Compare with the reference's own inputs and outputs.

    Raises:
        ValueError: they differ by more than 1e-3 of 296, the largest output.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    for pair in sorted((root / FOLDER / "test_data_set").iterdir()):
        x, wanted = (np.load(pair / f"{kind}_0.npy") for kind in ("input", "output"))
        (found,) = session.run(None, {"image": x})
        if np.abs(found.ravel() - wanted.ravel()).max() > 1e-3:
            raise ValueError(f"SqueezeNet does not answer as {pair} says")
