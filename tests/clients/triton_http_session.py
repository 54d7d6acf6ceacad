"""What a user of tritonclient.http does; prints one JSON object."""

import json
import sys
from typing import Any

import tritonclient.http as triton
from triton_calls import X, common, image


def main(url: str) -> None:
    """Ask everything once."""
    client = triton.InferenceServerClient(
        url.removeprefix("http://"), concurrency=2, network_timeout=60, connection_timeout=60
    )
    config = client.get_model_config("photos")
    report: dict[str, Any] = {
        "server": client.get_server_metadata(),
        "outputs": [output["name"] for output in client.get_model_metadata("photos")["outputs"]],
        "dims": config["input"][0]["dims"],
        "index": [
            [model["name"], model["version"], model["state"]]
            for model in client.get_model_repository_index()
        ],
        "async": client.async_infer("photos", [image(triton)])
        .get_result()
        .as_numpy("logits")
        .tolist(),
        "json": in_json(client),
        "classes": classes(client),
        "compressed": client.infer(
            "photos", [image(triton)], request_compression_algorithm="gzip",
            response_compression_algorithm="deflate",
        ).as_numpy("logits").tolist(),
    }  # fmt: skip
    report["statistics"] = client.get_inference_statistics("photos")["model_stats"][0]
    report |= common(triton, client)
    json.dump(report, sys.stdout)


def in_json(client: Any) -> list[Any]:
    """The same without binary tensors on the way."""
    tensor = triton.InferInput("image", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, binary_data=False)
    wanted = triton.InferRequestedOutput("logits", binary_data=False)
    found: list[Any] = (
        client.infer("photos", [tensor], outputs=[wanted]).as_numpy("logits").tolist()
    )
    return found


def classes(client: Any) -> list[Any]:
    """The best three classes of each row."""
    wanted = triton.InferRequestedOutput("logits", class_count=3)
    rows = client.infer("photos", [image(triton)], outputs=[wanted]).as_numpy("logits")
    return [[entry.decode() for entry in row] for row in rows]


if __name__ == "__main__":
    main(sys.argv[2])
