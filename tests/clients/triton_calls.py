"""What both of Triton's clients do alike; nothing of candor is imported here."""

import sys
from typing import Any

import ml_dtypes
import numpy as np

X = np.random.default_rng(7).normal(size=(2, 3, 64, 64)).astype(np.float32)
# What a model that echoes gets and must give back.
ECHOES: dict[str, tuple[str, np.ndarray]] = {
    "half": ("FP16", np.array([[1.5, -2, 65504]], np.float16)),
    "brain": ("BF16", np.array([[1.5, -2, 256]], ml_dtypes.bfloat16)),
    "words": ("BYTES", np.array([["", "ü", "plain text"]], dtype=np.object_)),
    "flags": ("BOOL", np.array([[True, False, True]])),
    "bytes": ("UINT8", np.array([[0, 7, 255]], np.uint8)),
    "longs": ("INT64", np.array([[-(2**63), 0, 2**63 - 1]], np.int64)),
}


def image(triton: Any) -> Any:
    """The rows as an input."""
    tensor = triton.InferInput("image", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X)
    return tensor


def common(triton: Any, client: Any) -> dict[str, Any]:
    """Ask everything that both clients have."""
    plain = client.infer("photos", [image(triton)], request_id="plain-1")
    report: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [client.is_model_ready("photos"), client.is_model_ready("fotos")],
        "logits": plain.as_numpy("logits").tolist(),
        "echoes": {name: _echoed(triton, client, name) for name in ECHOES},
    }
    parameters = {
        "candor.explain": "lime,gradient",
        "candor.lime.n_samples": 50,
        "candor.lime.kernel_width": 0.5,
        "candor.gradient.times_input": True,
        "candor.target": "espresso",
        "candor.cache": "bypass",
    }
    explained = client.infer("photos", [image(triton)], parameters=parameters)
    report["explained"] = [
        list(explained.as_numpy(name).shape)
        for name in ("logits", "candor.lime", "candor.lime.segments", "candor.gradient")
    ]
    report["failures"] = {
        "unknown model": _failure(triton, lambda: client.get_model_metadata("fotos")),
        "method": _failure(
            triton,
            lambda: client.infer("photos", [image(triton)], parameters={"candor.explain": "shap"}),
        ),
        "config": _failure(triton, lambda: client.load_model("photos", config="{}")),
        "shared memory": _failure(triton, client.get_system_shared_memory_status),
    }
    client.unload_model("photos")
    report["unloaded"] = _failure(triton, lambda: client.infer("photos", [image(triton)]))
    report["ready_unloaded"] = client.is_model_ready("photos")
    client.load_model("photos")
    report["ready_loaded"] = client.is_model_ready("photos")
    return report


def _echoed(triton: Any, client: Any, name: str) -> bool:
    datatype, sent = ECHOES[name]
    tensor = triton.InferInput("x", list(sent.shape), datatype)
    tensor.set_data_from_numpy(sent)
    got = client.infer(name, [tensor]).as_numpy("y")
    if datatype == "BYTES":
        got = np.vectorize(lambda element: element.decode(), otypes=[np.object_])(got)
    sys.stderr.write(f"{name}: {sent} {got}\n")
    return bool(np.array_equal(sent, got))


def _failure(triton: Any, call: Any) -> list[str]:
    try:
        call()
    except triton.InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["", "nothing was raised"]
