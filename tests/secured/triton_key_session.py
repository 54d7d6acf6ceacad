"""What a user of tritonclient does with a key; a process of its own, prints one JSON object."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http


def main(grpc_target: str, http_target: str, key: str, model: str) -> None:
    """Ask the same over both, with the key and without."""
    x = np.random.default_rng(3).normal(size=(1, 1, 28, 28)).astype(np.float32)
    headers = {"authorization": f"Bearer {key}"}
    report: dict[str, list[object]] = {"refused": []}
    for name, module, target in (
        ("grpc", triton_grpc, grpc_target),
        ("http", triton_http, http_target),
    ):
        client = module.InferenceServerClient(target)
        assert client.is_server_live()
        tensor = module.InferInput("image", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        answer = client.infer(model, [tensor], headers=headers)
        report[name] = answer.as_numpy("logits").ravel().tolist()
        try:
            client.infer(model, [tensor])
        except module.InferenceServerException as error:
            report["refused"].append(error.status())
        client.close()
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
