"""What a user of tritonclient does; run in a process of its own, prints one JSON object.

Nothing of candor is imported here: the client's own `inference` package must find everything on the
wire, and would collide with ours if ours were registered under the same names.
"""

import io
import json
import sys

import numpy as np
import skimage.data
import tritonclient.grpc as triton
from PIL import Image


def main(target: str) -> None:
    """Ask everything once."""
    client = triton.InferenceServerClient(target)
    report: dict[str, object] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("photos"),
        "extensions": list(client.get_server_metadata().extensions),
    }
    metadata = client.get_model_metadata("photos")
    report["outputs"] = [output.name for output in metadata.outputs]
    report["shape"] = list(metadata.inputs[0].shape)
    config = client.get_model_config("photos").config
    report["methods"] = config.parameters["candor.methods"].string_value

    x = np.random.default_rng(7).normal(size=(2, 3, 64, 64)).astype(np.float32)
    tensor = triton.InferInput("image", x.shape, "FP32")
    tensor.set_data_from_numpy(x)

    plain = client.infer("photos", [tensor], request_id="plain-1")
    response = plain.get_response()
    report["plain"] = {
        "id": response.id,
        "version": response.model_version,
        "outputs": [output.name for output in response.outputs],
        "parameters": list(response.parameters),
        "logits": plain.as_numpy("logits").tolist(),
    }

    explained = client.infer(
        "photos",
        [tensor],
        parameters={
            "candor.explain": "grad_cam,gradient",
            "candor.gradient.reduction": "signed",
            "candor.target": 3,
        },
    )
    report["explained"] = {
        "outputs": {output.name: list(output.shape) for output in explained.get_response().outputs},
        "grad_cam_top": float(explained.as_numpy("candor.grad_cam").max()),
        "logits": explained.as_numpy("logits").tolist(),
        "trust": json.loads(
            explained.get_response().parameters["candor.grad_cam.trust"].string_param
        ),
        "status": explained.get_response().parameters["candor.cache_status"].string_param,
        "digest": explained.get_response().parameters["candor.model_digest"].string_param,
    }

    named = client.infer(
        "photos", [tensor], outputs=[triton.InferRequestedOutput("candor.grad_cam")],
        parameters={"candor.target": "espresso"},
    )  # fmt: skip
    report["named"] = [output.name for output in named.get_response().outputs]

    classes = client.infer(
        "photos", [tensor], outputs=[triton.InferRequestedOutput("logits", class_count=3)]
    )
    report["classes"] = [[entry.decode() for entry in row] for row in classes.as_numpy("logits")]

    picture = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(picture, "PNG")
    encoded = triton.InferInput("image", [1], "BYTES")
    encoded.set_data_from_numpy(np.array([picture.getvalue()], dtype=np.object_))
    seen = client.infer("photos", [encoded], parameters={"candor.explain": "cam"})
    report["picture"] = {
        "top": int(seen.as_numpy("logits").argmax()),
        "cam": list(seen.as_numpy("candor.cam").shape),
    }

    text = triton.InferInput("tokens", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"a wonderful, moving film"], dtype=np.object_))
    read = client.infer(
        "sentences", [text],
        parameters={"candor.explain": "lime", "candor.lime.n_samples": 200, "candor.seed": 1},
    )  # fmt: skip
    report["text"] = {
        "lime": read.as_numpy("candor.lime").tolist(),
        "segments": read.as_numpy("candor.lime.segments").tolist(),
    }

    failures = {}
    for name, parameters in {
        "unknown_method": {"candor.explain": "shap"},
        "unknown_option": {"candor.explain": "lime", "candor.lime.samples": 5},
        "range": {"candor.explain": "lime", "candor.lime.n_samples": -1},
        "target": {"candor.explain": "grad_cam", "candor.target": 5000},
        "layer": {"candor.explain": "grad_cam", "candor.layer": "nowhere"},
        "parameter": {"candor.explian": "grad_cam"},
    }.items():
        try:
            client.infer("photos", [tensor], parameters=parameters)
        except triton.InferenceServerException as error:
            failures[name] = [error.status(), error.message()]
    report["failures"] = failures
    report["live_after"] = client.is_server_live()
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
